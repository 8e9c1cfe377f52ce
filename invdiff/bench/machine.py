"""What the machine can do at best, measured before the operators are."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.benchmark import Timer

__all__ = ["Machine", "median_seconds"]

_COPIED = 2**26  # float32 entries: far beyond every cache
_MATRIX = 1536
_MIN_SECONDS = 0.3


def median_seconds(function: Callable[[], Any], threads: int, min_seconds: float) -> float:
    """Return the median time of a call, on a GPU with its end waited for."""
    timer = Timer("f()", globals={"f": function}, num_threads=threads)
    return float(timer.blocked_autorange(min_run_time=min_seconds).median)


@dataclass(frozen=True)
class Machine:
    """Name and limits of a device.

    Args:
        name: Of the processor.
        device: "cpu" or "cuda".
        threads: Threads of every package that lets itself be told.
        bytes_per_second: Of a large copy, reads and writes counted.
        flops: Of a large float32 product.
        entries_per_second: Matrix entries of four bytes that can be looked up: by the memory on
            a CPU, by all shared memories together (128 bytes a clock each) on a GPU.
    """

    name: str
    device: str
    threads: int
    bytes_per_second: float
    flops: float
    entries_per_second: float

    @classmethod
    def measured(cls, device: str, threads: int) -> Machine:
        """Measure a device."""
        source = torch.ones(_COPIED, device=device)
        target = torch.empty_like(source)
        copy = median_seconds(lambda: target.copy_(source), threads, _MIN_SECONDS)
        a = torch.ones(_MATRIX, _MATRIX, device=device)
        product = median_seconds(lambda: a @ a, threads, _MIN_SECONDS)
        bandwidth = 2 * source.nbytes / copy
        entries = _shared_memory_bandwidth() / 4 if device == "cuda" else bandwidth / 4
        return cls(_name(device), device, threads, bandwidth, 2 * _MATRIX**3 / product, entries)

    def seconds(self, function: Callable[[], Any]) -> float:
        """Return the median time of a call that stands for a limit."""
        return median_seconds(function, self.threads, _MIN_SECONDS)


def _shared_memory_bandwidth() -> float:
    properties = torch.cuda.get_device_properties(0)
    return float(properties.multi_processor_count * 128 * properties.clock_rate * 1e3)


def _name(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
