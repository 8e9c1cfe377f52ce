"""The slices of a volume over the ranks of a process group."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["RankSplit", "slice_ranges"]

_Z = -3
_FEW = 4096


def slice_ranges(total: int, num_parts: int) -> list[range]:
    """Divide slices into consecutive parts whose sizes differ by one at most, the larger first.

    Raises:
        ValueError: A part would be empty.
    """
    if not 1 <= num_parts <= total:
        raise ValueError(f"cannot divide {total} slices into {num_parts} parts: one would be empty")
    size, rest = divmod(total, num_parts)
    edges = [k * size + min(k, rest) for k in range(num_parts + 1)]
    return [range(a, b) for a, b in pairwise(edges)]


@dataclass(frozen=True)
class RankSplit:
    """A part of the slices on each rank of an initialised process group.

    All ranks must call the same methods in the same order. Tensors stay on their device: gloo
    moves those of the CPU, nccl those of a GPU. Only slices can be divided like this; an operator
    that mixes them, such as cone-beam CT, would have to be divided by views.

    Args:
        total: Slices of the volume.
        group: Ranks that share the volume; all by default.

    Raises:
        ValueError: There is no process group, or it has more ranks than there are slices.
    """

    total: int
    group: dist.ProcessGroup | None = None

    def __post_init__(self) -> None:
        if not (dist.is_available() and dist.is_initialized()):
            raise ValueError("RankSplit: torch.distributed has no process group yet")
        slice_ranges(self.total, self.num_ranks)

    @property
    def rank(self) -> int:
        """Number of this rank in the group."""
        return dist.get_rank(self.group)

    @property
    def num_ranks(self) -> int:
        """Ranks of the group."""
        return dist.get_world_size(self.group)

    @property
    def is_main(self) -> bool:
        """Whether this is the one rank that prints and writes; rank 0."""
        return self.rank == 0

    @property
    def first(self) -> int:
        """Number of the first slice that is held here."""
        return self._parts()[self.rank].start

    @property
    def count(self) -> int:
        """Slices held here."""
        return len(self._parts()[self.rank])

    def all_sum(self, v: Tensor) -> Tensor:
        """Return the sum over the ranks, with the same bits everywhere.

        A few scalars are added in the order of the ranks whatever the backend is; larger tensors
        in that of its all-reduce, which moves each of them twice and not once for every rank.
        """
        if v.numel() <= _FEW:
            return torch.stack(self._all_gathered(v)).sum(0)
        total = _parts_of(v).clone()
        with self._told():
            dist.all_reduce(total, group=self.group)
        return _like(total, v)

    def after(self, x: Tensor) -> Tensor | None:
        """Return the first slice of the next rank; None on the last one."""
        return self._passed(x.narrow(_Z, 0, 1), self.rank - 1, self.rank + 1)

    def before(self, x: Tensor) -> Tensor | None:
        """Return the last slice of the rank before; None on the first one."""
        return self._passed(x.narrow(_Z, x.shape[_Z] - 1, 1), self.rank + 1, self.rank - 1)

    def gather(self, x: Tensor) -> Tensor:
        """Return the whole volume, ``(*batch, total, rows, columns)``, on every rank."""
        return self._joined(self._all_gathered(self._padded(x)))

    def collect(self, x: Tensor) -> Tensor | None:
        """Return the whole volume on rank 0, None on the others."""
        sent = _parts_of(self._padded(x))
        received = [torch.empty_like(sent) for _ in range(self.num_ranks)] if self.is_main else None
        with self._told():
            dist.gather(sent, received, dst=self._global_rank(0), group=self.group)
        if received is None:
            return None
        return self._joined([_like(part, x) for part in received])

    def _parts(self) -> list[range]:
        return slice_ranges(self.total, self.num_ranks)

    def _passed(self, own: Tensor, to: int, source: int) -> Tensor | None:
        """Send a slice to one neighbour and return that of the other one, without a deadlock."""
        sent, ranks = _parts_of(own), range(self.num_ranks)
        received, transfers = torch.empty_like(sent), []
        if to in ranks:
            transfers.append(dist.P2POp(dist.isend, sent, self._global_rank(to), self.group))
        if source in ranks:
            transfers.append(
                dist.P2POp(dist.irecv, received, self._global_rank(source), self.group)
            )
        if transfers:
            with self._told():
                for transfer in dist.batch_isend_irecv(transfers):
                    transfer.wait()
        return _like(received, own) if source in ranks else None

    def _all_gathered(self, v: Tensor) -> list[Tensor]:
        sent = _parts_of(v)
        received = [torch.empty_like(sent) for _ in range(self.num_ranks)]
        with self._told():
            dist.all_gather(received, sent, group=self.group)
        return [_like(part, v) for part in received]

    def _padded(self, x: Tensor) -> Tensor:
        """Append a slice where the first rank has one more: gloo moves equal sizes alone."""
        missing = len(self._parts()[0]) - x.shape[_Z]
        return torch.cat([x, x.narrow(_Z, 0, missing)], dim=_Z) if missing else x

    def _joined(self, padded: list[Tensor]) -> Tensor:
        counts = [len(part) for part in self._parts()]
        held = [x.narrow(_Z, 0, n) for x, n in zip(padded, counts, strict=True)]
        return torch.cat(held, dim=_Z)

    def _global_rank(self, rank: int) -> int:
        return rank if self.group is None else dist.get_global_rank(self.group, rank)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say what a failed transfer means: its own message names a socket."""
        try:
            yield
        except RuntimeError as error:
            error.add_note(
                f"rank {self.rank} of {self.num_ranks} waits in vain: another rank has failed or "
                "is stuck, and the cause is in what that one reports"
            )
            raise


def _parts_of(v: Tensor) -> Tensor:
    """Return a contiguous real tensor: not every backend moves complex numbers."""
    whole = v.resolve_conj().contiguous()
    return torch.view_as_real(whole) if v.is_complex() else whole


def _like(parts: Tensor, v: Tensor) -> Tensor:
    """Return complex numbers if v has them."""
    return torch.view_as_complex(parts) if v.is_complex() else parts
