"""What of a volume is in memory at a time, and how much memory a run may take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from invdiff.volumes.device_memory import peak_bytes
from invdiff.volumes.storage import Storage, StorageKind

__all__ = ["IN_CORE", "Execution", "Memory", "by_slices", "groups", "part"]

_Z = -3
# elements of a temporary: small beside any volume that needs care; on the CPU they stay in its
# cache, on other devices they are many beside the start of a kernel
_GROUP, _DEVICE_GROUP = 2**20, 2**24
# so many temporaries of an elementwise expression share the limit
_TEMPORARIES = 8
# vectors that a step of a sampler holds at most where volumes stay on the device
_VECTORS = 16
# of what was measured for one slice: allocators round up; that of the CPU also keeps free pieces
_MARGIN, _CPU_MARGIN = 1.25, 1.75


def groups(x: Tensor, size: int | None = None) -> Iterator[tuple[int, int]]:
    """Yield (first, count) of runs of slices, of one size or so that a temporary stays small."""
    count = x.shape[_Z]
    if size is None:
        elements = _GROUP if x.device.type == "cpu" else _DEVICE_GROUP
        size = max(1, elements * count // max(1, x.numel()))
    for first in range(0, count, size):
        yield first, min(size, count - first)


def part(t: Tensor, first: int, count: int, total: int) -> Tensor:
    """Return some slices of a volume of so many, or t itself if it holds the same for all."""
    per_slice = t.ndim >= -_Z and t.shape[_Z] == total
    return t.narrow(_Z, first, count) if per_slice else t


def by_slices(
    function: Callable[..., Tensor],
    tensors: tuple[Tensor, ...],
    out: Tensor,
    size: int | None = None,
    device: torch.device | None = None,
) -> Tensor:
    """Fill out with a function of slices, some at a time.

    Args:
        function: Takes the slices of all tensors and gives those of out.
        tensors: Of the slices of out, or one for all slices.
        out: Shape ``(*batch, slices, rows, columns)``; may be one of the tensors.
        size: Slices at a time; few enough for small temporaries by default.
        device: Where the function runs; where out is by default.
    """
    device, total = out.device if device is None else device, out.shape[_Z]
    for first, count in groups(out, size):
        parts = (part(t, first, count, total).to(device) for t in tensors)
        out.narrow(_Z, first, count).copy_(function(*parts))
    return out


@dataclass(frozen=True)
class Memory:
    """Where a run has its volumes, and how it works on them; by default, all is in one place.

    Args:
        storage: Of volumes; None: wherever the computation leaves them.
        device: Of network and operator; that of their inputs by default.
        limit: Bytes that the computation may take there.
    """

    storage: Storage | None = None
    device: torch.device | None = None
    limit: int | None = None

    def empty(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Return a tensor of that shape and like's dtype; its values are arbitrary."""
        if self.storage is None:
            return like.new_empty(tuple(shape))
        return self.storage.empty(shape, like.dtype)

    def empty_like(self, x: Tensor) -> Tensor:
        """Return a vector of the shape and dtype of x; its values are arbitrary."""
        return self.empty(x.shape, x)

    def copy(self, x: Tensor) -> Tensor:
        """Return a copy of x among the volumes of the run."""
        return self.empty_like(x).copy_(x)

    def placed(self, x: Tensor, home: torch.device) -> Tensor:
        """Return a tensor from elsewhere among the volumes of the run."""
        return x.to(home) if self.storage is None else self.copy(x)

    def map(
        self, function: Callable[..., Tensor], *tensors: Tensor, out: Tensor | None = None
    ) -> Tensor:
        """Return an elementwise function of volumes, without temporaries of their size.

        Args:
            function: Takes the same slices of all tensors.
            tensors: The first has the shape and dtype of the result; the others have it too, or
                broadcast.
            out: A vector whose memory may be used for the result, also one of the tensors.
        """
        if self.storage is None:
            return function(*tensors)
        out = self.empty_like(tensors[0]) if out is None else out
        return by_slices(function, tensors, out, self._group(out))

    def chunk_size(
        self, call: Callable[[int], object], device: torch.device, total: int, least: int
    ) -> int:
        """Return how many slices the limit allows at a time, by what one of them takes.

        Args:
            call: Makes the computation for so many slices.
            device: Where it runs.
            total: Slices of the volume.
            least: Bytes that one slice takes at least, for small ones are hard to measure.

        Raises:
            ValueError: One slice takes more than the limit.
        """
        if self.limit is None:
            return total
        call(1)  # the first one may load what stays
        margin = _CPU_MARGIN if device.type == "cpu" else _MARGIN
        cost = max(least, int(margin * peak_bytes(lambda: call(1), device)))
        # one slice may fit into what an allocator has at hand: some show what each of them takes
        some = min(total, self.limit // (_TEMPORARIES * cost))
        if some > 1:
            cost = max(cost, int(margin * peak_bytes(lambda: call(some), device) / some))
        if cost > self.limit:
            raise ValueError(
                f"memory_limit: one slice takes {cost} bytes on {device}, more than the "
                f"{self.limit} that are left"
            )
        return min(total, self.limit // cost)

    def _group(self, x: Tensor) -> int | None:
        if self.limit is None:
            return None
        slice_size = x.numel() // x.shape[_Z] * x.element_size()
        allowed = min(_GROUP * x.element_size(), self.limit // _TEMPORARIES)
        return max(1, allowed // slice_size)


# everything where the computation is, and all slices at once
IN_CORE = Memory()


@dataclass(frozen=True)
class Execution:
    """How a volume is worked on: a setting of the machine, not of the method.

    The results are the same up to rounding, and to the bit for the same number of slices at a
    time, which the limit decides.

    Args:
        memory_limit: Bytes that a run may take on the compute device, beside what is there
            before it: weights, operator and, if they are there, measurements. Network and
            two-dimensional operators work on as many slices at a time as it allows, by what one
            slice is measured to take; a three-dimensional operator takes what it takes. No limit
            by default.
        storage: Where volumes live: ``"device"`` with the measurements, ``"host"`` in memory,
            ``"disk"`` in mapped files, and then the limit holds for the host's own memory too
            if it computes.
        folder: Of the files; that of temporary files by default.
        device: Of network and operator, if it isn't where the measurements are.

    Raises:
        ValueError: A limit that isn't positive, an unknown storage, or a folder without ``"disk"``.
    """

    memory_limit: int | None = None
    storage: StorageKind = "device"
    folder: Path | str | None = None
    device: torch.device | str | None = None

    def __post_init__(self) -> None:
        if self.memory_limit is not None and self.memory_limit < 1:
            raise ValueError(f"memory_limit: expected bytes > 0, got {self.memory_limit}")
        self._storage()

    def memory(self, vector_bytes: int) -> Memory:
        """Return the memory of a run with volumes of that size, all samples together.

        Raises:
            ValueError: The volumes alone take more than the limit.
        """
        device = None if self.device is None else torch.device(self.device)
        if self.storage != "device":
            return Memory(self._storage(), device, self.memory_limit)
        if self.memory_limit is None:
            return Memory(device=device)
        left = self.memory_limit - _VECTORS * vector_bytes
        if left <= 0:
            raise ValueError(
                f"memory_limit: {_VECTORS} vectors of {vector_bytes} bytes exceed the "
                f"{self.memory_limit} bytes; keep volumes in storage 'host' or 'disk'"
            )
        return Memory(device=device, limit=left)

    def _storage(self) -> Storage:
        return Storage(self.storage, None if self.folder is None else Path(self.folder))
