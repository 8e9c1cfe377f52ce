"""What a prior is to a sampler, and its change of units."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

__all__ = ["Denoiser", "Rescaled", "half_range", "rescale"]


class Denoiser(Protocol):
    """The posterior mean under added noise, E[x0 | x0 + sigma n = x], and where x0 lives.

    Attributes:
        data_range: Lowest and highest value of x0, in the units of x.
        image_shape: Trailing shape of x; None if any shape will do.
    """

    @property
    def data_range(self) -> tuple[float, float]: ...  # noqa: D102

    @property
    def image_shape(self) -> tuple[int, ...] | None: ...  # noqa: D102

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the mean for x ``(*batch, *image)``; sigma is 0-dimensional or ``batch``."""
        ...


class Rescaled:
    r"""A denoiser in other units: the one place where the range of a prior meets physical units.

    .. math:: D'(x, \sigma) = a\, D\!\left(\frac{x - b}{a}, \frac{\sigma}{a}\right) + b

    Args:
        denoiser: D, with a finite ``data_range``.
        low: What the lower end of its range means in the new units.
        high: What the upper end means.

    Raises:
        ValueError: ``low < high`` doesn't hold.
    """

    def __init__(self, denoiser: Denoiser, low: float, high: float) -> None:
        if not low < high:
            raise ValueError(f"rescale: expected low < high, got {low} and {high}")
        old_low, old_high = denoiser.data_range
        self.denoiser = denoiser
        self.data_range = (float(low), float(high))
        self._factor = (high - low) / (old_high - old_low)
        self._shift = low - self._factor * old_low

    @property
    def image_shape(self) -> tuple[int, ...] | None:
        """Trailing shape of x, as for the denoiser in its own units."""
        return self.denoiser.image_shape

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the posterior mean in the new units."""
        inside = self.denoiser((x - self._shift) / self._factor, sigma / self._factor)
        return inside * self._factor + self._shift


def rescale(denoiser: Denoiser, low: float, high: float) -> Rescaled:
    """Return the denoiser in units in which its data range is [low, high]; see ``Rescaled``."""
    return Rescaled(denoiser, low, high)


class _Ranged(Protocol):
    @property
    def data_range(self) -> tuple[float, float]: ...


def half_range(denoiser: _Ranged) -> float:
    """Half the width of the data range: samplers state noise levels in this unit."""
    low, high = denoiser.data_range
    if not torch.isfinite(torch.tensor([low, high])).all() or not low < high:
        raise ValueError(f"data_range: expected two finite numbers low < high, got {low}, {high}")
    return (high - low) / 2
