"""A prior whose images are empty outside a known region."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.priors.denoiser import Denoiser

__all__ = ["SupportedPrior"]


class SupportedPrior:
    r"""A denoiser that knows where there is nothing: x is the lower end of its range there.

    .. math:: D_S(z, \sigma) = \begin{cases} D(z, \sigma) & \text{in } S \\ x_{low} &
        \text{elsewhere} \end{cases}

    No coil and no ray sees what lies outside the field of view. Without this, a prior fills it with
    whatever it finds likely, and that spoils what it makes of the rest.

    Args:
        denoiser: D; for complex images x_low is real.
        support: S, boolean in the shape of the images.

    Attributes:
        data_range: That of the denoiser.
        image_shape: That of the denoiser.

    Raises:
        ValueError: S is not boolean, empty, or not of the shape of the images.
    """

    def __init__(self, denoiser: Denoiser, support: Tensor) -> None:
        if support.dtype != torch.bool or not support.any():
            raise ValueError(
                f"SupportedPrior: expected a boolean region with a pixel in it, got {support.dtype}"
            )
        if denoiser.image_shape not in (None, tuple(support.shape)):
            raise ValueError(
                f"SupportedPrior: expected a region of shape {denoiser.image_shape}, "
                f"got {tuple(support.shape)}"
            )
        self.denoiser, self.support = denoiser, support
        self.data_range, self.image_shape = denoiser.data_range, denoiser.image_shape

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the mean for x ``(*batch, *image)``; sigma is 0-dimensional or ``batch``."""
        mean = self.denoiser(x, sigma)
        empty = torch.full((), self.data_range[0], dtype=mean.dtype, device=mean.device)
        return torch.where(self.support.to(mean.device), mean, empty)
