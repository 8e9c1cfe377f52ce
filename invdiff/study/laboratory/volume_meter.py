"""What a method costs: time, memory, and pixels through the network; kept over interruptions."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.priors import Denoiser, resized
from invdiff.volumes.sampler import Checkpoints, VolumeState

__all__ = ["Cost", "CountedPrior", "Meter", "MeteredCheckpoints"]

_MB = 2**20
# seconds between two looks at the memory
_PAUSE = 0.01


class Cost(NamedTuple):
    """What has been spent.

    Args:
        seconds: Wall-clock time.
        pixels: That went through the network.
        peak_mb: Peak of the memory: resident, or allocated on a GPU.
    """

    seconds: float = 0.0
    pixels: int = 0
    peak_mb: float = 0.0


class CountedPrior:
    """A network at all sizes that are asked for, which counts the pixels that go through it.

    Args:
        denoiser: Such as ``invdiff.priors.resized`` takes.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self.pixels, self._denoiser = 0, denoiser
        self._sizes: dict[tuple[int, int], _Counted] = {}

    def of(self, size: tuple[int, int]) -> Denoiser:
        """Return the denoiser for images of a size (rows, columns)."""
        if size not in self._sizes:
            same = self._denoiser.image_shape == size
            denoiser = self._denoiser if same else resized(self._denoiser, size)
            self._sizes[size] = _Counted(denoiser, self)
        return self._sizes[size]


class _Counted:
    def __init__(self, denoiser: Denoiser, total: CountedPrior) -> None:
        self.denoiser, self._total = denoiser, total
        self.data_range = denoiser.data_range
        self.image_shape = denoiser.image_shape

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        self._total.pixels += x.numel()
        return self.denoiser(x, sigma)


class Meter:
    """Measure while a method runs, on top of what an interrupted run of it has spent.

    Args:
        prior: Whose pixels count; None for a method without a network.
        device: Whose memory is measured.
    """

    def __init__(self, prior: CountedPrior | None, device: str) -> None:
        self.before = Cost()
        self._prior, self._cuda = prior, torch.device(device).type == "cuda"
        self._start, self._first, self._peak = 0.0, 0, 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure within the block."""
        self._start, self._first, self._peak = time.perf_counter(), self._count(), 0.0
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
            yield
            return
        done = threading.Event()
        watch = threading.Thread(target=self._watch, args=(done,), daemon=True)
        watch.start()
        try:
            yield
        finally:
            done.set()
            watch.join()

    def cost(self) -> Cost:
        """Return what has been spent up to now."""
        if self._cuda:
            torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated() / _MB if self._cuda else self._peak
        return Cost(
            self.before.seconds + time.perf_counter() - self._start,
            self.before.pixels + self._count() - self._first,
            max(self.before.peak_mb, peak, 0.0 if self._cuda else _resident_mb()),
        )

    def _count(self) -> int:
        return 0 if self._prior is None else self._prior.pixels

    def _watch(self, done: threading.Event) -> None:
        while not done.wait(_PAUSE):
            self._peak = max(self._peak, _resident_mb())


class MeteredCheckpoints:
    """Checkpoints that also keep what has been spent before each step.

    Args:
        checkpoints: Which keep the state.
        meter: Running.
        path: Of the record, a line a step.
    """

    def __init__(self, checkpoints: Checkpoints, meter: Meter, path: Path) -> None:
        self._checkpoints, self._meter, self._path = checkpoints, meter, path

    def load(self) -> tuple[int, VolumeState] | None:
        """Return where to go on; the meter goes on, too."""
        found = self._checkpoints.load()
        if found is None:
            self._path.unlink(missing_ok=True)
            return None
        for line in self._path.read_text().splitlines():
            step, *spent = json.loads(line)
            if step == found[0]:
                self._meter.before = Cost(*spent)
        return found

    def save(self, step: int, state: VolumeState) -> None:
        """Keep the state before a step, and the cost up to it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as record:
            record.write(json.dumps([step, *self._meter.cost()]) + "\n")
        self._checkpoints.save(step, state)


def _resident_mb() -> float:
    """Return the resident memory; its peak so far where the system tells no more."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        import resource  # not on every system

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MB
    return pages * os.sysconf("SC_PAGE_SIZE") / _MB
