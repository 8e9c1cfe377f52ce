"""What a conditional prior is to an ODE solver."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

__all__ = ["ConditionalDenoiser", "calls_of"]


class ConditionalDenoiser(Protocol):
    """The posterior mean under added noise given a measurement, E[x0 | x0 + sigma n = x, y].

    Attributes:
        data_range: Lowest and highest value of x0, in the units of x.
    """

    @property
    def data_range(self) -> tuple[float, float]: ...  # noqa: D102

    def __call__(self, x: Tensor, sigma: Tensor, y: Tensor) -> Tensor:
        """Return the mean for x ``(*batch, *image)`` and y ``(*batch, *measurement)``."""
        ...

    def center(self, y: Tensor) -> Tensor:
        """Return a rough image of each measurement, in the shape and units of x."""
        ...


def calls_of(denoiser: ConditionalDenoiser) -> int:
    """Return the network calls of one evaluation for each image: ``calls_per_image``, or 1."""
    calls: int = getattr(denoiser, "calls_per_image", 1)
    return calls
