"""A prior of slices as a prior of volumes."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from invdiff.priors.denoiser import Denoiser
from invdiff.volumes.memory import IN_CORE, Memory, by_slices

__all__ = ["SlicePrior"]

# images beside the network's own: what goes in and comes out
_LEAST = 3


class SlicePrior:
    """Independent slices, each of a two-dimensional prior.

    Args:
        denoiser: Prior of one slice.
        num_slices: Slices of the volume that are held here.
        chunk_size: Slices that go through the prior at a time; by default all, or what
            ``memory_limit`` allows.
        memory_limit: Bytes that the prior may take where it runs, by what one slice is measured
            to take; none by default.
        device: Where the prior runs, if it isn't where the volumes are.
        memory: Where the means go.

    Raises:
        ValueError: The prior is not one of images (rows, columns) of a fixed size, or the chunks
            are empty.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        num_slices: int,
        *,
        chunk_size: int | None = None,
        memory_limit: int | None = None,
        device: torch.device | str | None = None,
        memory: Memory = IN_CORE,
    ) -> None:
        if denoiser.image_shape is None or len(denoiser.image_shape) != 2:
            raise ValueError(
                f"SlicePrior: expected a prior of (rows, columns), got {denoiser.image_shape}"
            )
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(f"SlicePrior: expected chunk_size > 0, got {chunk_size}")
        self.denoiser, self.chunk_size, self.memory_limit = denoiser, chunk_size, memory_limit
        self.device = None if device is None else torch.device(device)
        self._memory = memory
        self._measured: dict[tuple[torch.Size, torch.dtype], int] = {}
        self.image_shape: tuple[int, ...] = (num_slices, *denoiser.image_shape)
        self.data_range = denoiser.data_range

    def resized(self, num_slices: int) -> SlicePrior:
        """Return the same prior for another number of slices."""
        other = copy.copy(self)
        other.image_shape = (num_slices, *self.image_shape[1:])
        return other

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the mean of every slice.

        Args:
            x: Shape ``(*batch, num_slices, rows, columns)``.
            sigma: 0-dimensional, one for each volume (``batch``), or one for each slice
                (``(*batch, num_slices)``); a slice at noise 0 is known and stays as it is.
        """
        per_slice = sigma.ndim == x.ndim - 2
        levels = sigma.unsqueeze(-1) if sigma.ndim == x.ndim - 3 else sigma
        levels = levels.to(x.dtype.to_real()).expand(x.shape[:-2])
        mean = self._partly_known if per_slice else self.denoiser
        if self._in_one_go:
            return mean(x, levels)
        device = x.device if self.device is None else self.device
        return by_slices(
            lambda v, level: mean(v, level[..., 0, 0]),
            (x, levels[..., None, None]),
            self._memory.empty_like(x),
            self._size(x, device),
            device,
        )

    def placed(self, memory: Memory) -> SlicePrior:
        """Return the same prior for volumes in that memory; what was chosen here stays."""
        limit = memory.limit if self.memory_limit is None else self.memory_limit
        return SlicePrior(
            self.denoiser,
            self.image_shape[0],
            chunk_size=memory.slices if self.chunk_size is None else self.chunk_size,
            memory_limit=limit,
            device=memory.device if self.device is None else self.device,
            memory=memory,
        )

    @property
    def _in_one_go(self) -> bool:
        chosen = (self.chunk_size, self.memory_limit, self.device, self._memory.storage)
        return all(value is None for value in chosen)

    def _partly_known(self, x: Tensor, levels: Tensor) -> Tensor:
        known = levels == 0
        # a network takes the logarithm of the level
        mean = self.denoiser(x, torch.where(known, 1.0, levels))
        return torch.where(known[..., None, None], x, mean)

    def _size(self, x: Tensor, device: torch.device) -> int:
        """Return how many slices go through at a time, measured once for a kind of batch."""
        if self.chunk_size is not None:
            return self.chunk_size
        kind = x.shape[:-3], x.dtype
        if kind not in self._measured:

            def call(count: int) -> Tensor:
                v = torch.zeros(*x.shape[:-3], count, *x.shape[-2:], dtype=x.dtype, device=device)
                return self.denoiser(v, v.real.new_ones(v.shape[:-2]))

            memory = Memory(limit=self.memory_limit)
            self._measured[kind] = memory.chunk_size(
                call, device, x.shape[-3], least=_LEAST * (x.nbytes // x.shape[-3])
            )
        return self._measured[kind]
