"""How much memory a computation takes."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["peak_bytes"]

# of Linux
_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def peak_bytes(call: Callable[[], object], device: torch.device) -> int:
    """Measure the memory that a call takes at its peak, on top of what is there before it.

    On a GPU it is the allocator's count. On the CPU it is what the process gains in resident
    memory, where Linux tells it, and the sum of the tensors that live at the same time elsewhere,
    without the scratch memory of libraries.

    Args:
        call: Runs on the device; it is made once.
        device: Where it runs.
    """
    if device.type != "cuda":
        gain = _resident_gain(call)
        return _live_bytes(call) if gain is None else gain
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    call()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _resident_gain(call: Callable[[], object]) -> int | None:
    """Return the peak of the resident memory during a call above that before it, if known."""
    try:
        # free pieces that the C library keeps would hide what is taken
        ctypes.CDLL(None).malloc_trim(0)
        _CLEAR.write_text("5")  # sets the peak to the present value
    except (AttributeError, OSError):
        return None
    before = _resident_peak()
    call()
    return _resident_peak() - before


def _resident_peak() -> int:
    lines = _STATUS.read_text().splitlines()
    kilobytes = next((line.split()[1] for line in lines if line.startswith("VmHWM")), "0")
    return 1024 * int(kilobytes)


def _live_bytes(call: Callable[[], object]) -> int:
    with _LiveTensors() as live:
        call()
    return live.peak


class _LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that operations create, until they are freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {
            t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)
        }
        result = func(*args, **(kwargs or {}))
        for t in tree_leaves(result):
            if isinstance(t, Tensor) and t.untyped_storage()._cdata not in given | self._known:
                self._count(t.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._freed, key, size)

    def _freed(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size
