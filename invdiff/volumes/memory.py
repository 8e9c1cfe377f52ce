"""What of a volume is in memory at a time, and how much memory a run may take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.volumes.device_memory import peak_bytes
from invdiff.volumes.storage import Storage

__all__ = ["IN_CORE", "Memory", "by_slices", "groups", "part"]

_Z = -3
# elements of a temporary: small beside any volume that needs care; on the CPU they stay in its
# cache, on other devices they are many beside the start of a kernel
_GROUP, _DEVICE_GROUP = 2**20, 2**24
# so many temporaries of an elementwise expression share the limit
_TEMPORARIES = 8
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
        slices: Slices at a time, instead of what the limit allows.
    """

    storage: Storage | None = None
    device: torch.device | None = None
    limit: int | None = None
    slices: int | None = None

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

        A power of two, so that what is measured doesn't change with every small change of what
        else is in memory.

        Args:
            call: Makes the computation for so many slices.
            device: Where it runs.
            total: Slices of the volume.
            least: Bytes that one slice takes at least, for small ones are hard to measure.

        Raises:
            ValueError: One slice takes more than the limit.
        """
        if self.slices is not None:
            return min(total, self.slices)
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
        fitting = self.limit // cost
        return min(total, 2 ** (fitting.bit_length() - 1))

    def _group(self, x: Tensor) -> int | None:
        if self.limit is None:
            return None
        slice_size = x.numel() // x.shape[_Z] * x.element_size()
        allowed = min(_GROUP * x.element_size(), self.limit // _TEMPORARIES)
        return max(1, allowed // slice_size)


# everything where the computation is, and all slices at once
IN_CORE = Memory()
