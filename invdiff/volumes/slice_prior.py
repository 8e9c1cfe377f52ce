"""A prior of slices as a prior of volumes."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from invdiff.priors.denoiser import Denoiser

__all__ = ["SlicePrior"]


class SlicePrior:
    """Independent slices, each of a two-dimensional prior.

    Args:
        denoiser: Prior of one slice.
        num_slices: Slices of the volume that are held here.

    Raises:
        ValueError: The prior is not one of images (rows, columns) of a fixed size.
    """

    def __init__(self, denoiser: Denoiser, num_slices: int) -> None:
        if denoiser.image_shape is None or len(denoiser.image_shape) != 2:
            raise ValueError(
                f"SlicePrior: expected a prior of (rows, columns), got {denoiser.image_shape}"
            )
        self.denoiser = denoiser
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
        levels = sigma.unsqueeze(-1) if sigma.ndim == x.ndim - 3 else sigma
        levels = levels.to(x.dtype.to_real())
        if sigma.ndim < x.ndim - 2:
            return self.denoiser(x, levels.expand(x.shape[:-2]))
        known = levels == 0
        # a network takes the logarithm of the level
        mean = self.denoiser(x, torch.where(known, 1.0, levels))
        return torch.where(known[..., None, None], x, mean)
