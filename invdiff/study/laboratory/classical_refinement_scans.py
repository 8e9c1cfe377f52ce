"""The scans whose classical reconstructions are refined: few views, or few lines of k-space."""

from __future__ import annotations

import abc
from typing import Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from invdiff.classical import fbp, zero_filled
from invdiff.likelihood import Likelihood
from invdiff.study.base import Config
from operators import (
    CartesianMRI,
    GaussianNoise,
    ImageGrid,
    LinearOperator,
    ParallelBeam2D,
    ParallelGeometry,
    RealToComplex,
    cartesian_lines,
)

__all__ = ["FewLines", "FewViews"]


class _Scan(Config, abc.ABC):
    """A linear operator with Gaussian noise, and the reconstruction that it is known for."""

    noise: PositiveFloat

    @abc.abstractmethod
    def operator(self, side: int, generator: torch.Generator) -> LinearOperator:
        """Return the operator on images of a side."""

    @abc.abstractmethod
    def rough(self, likelihood: Likelihood) -> Tensor:
        """Return the classical reconstructions, in the units of the images."""

    def measured(
        self, operator: LinearOperator, images: Tensor, generator: torch.Generator
    ) -> Likelihood:
        """Return noisy measurements of images ``(images, side, side)`` in [0, 1]."""
        noise = GaussianNoise(self.noise)
        return Likelihood(operator, noise, noise.sample(operator(images), generator=generator))


class FewViews(_Scan):
    """Parallel-beam CT of few views over half a turn, by filtered back-projection.

    Args:
        views: Equally spaced.
        noise: Standard deviation of a line integral, in pixels of the highest value.
    """

    kind: Literal["few-views"] = "few-views"
    views: PositiveInt = 12
    noise: PositiveFloat = 0.2

    def operator(self, side: int, generator: torch.Generator) -> LinearOperator:
        """Return the projector; nothing is drawn."""
        grid = ImageGrid((side, side))
        return ParallelBeam2D(grid, ParallelGeometry.covering(grid, self.views))

    def rough(self, likelihood: Likelihood) -> Tensor:
        """Return the filtered back-projections."""
        return fbp(likelihood)


class FewLines(_Scan):
    """One-coil Cartesian MRI of real images, by filling what wasn't measured with zeros.

    Args:
        acceleration: Lines of k-space over those that are measured.
        center_fraction: Share of the lines that are measured in the centre, all of them.
        noise: Standard deviation of the real and imaginary part of an entry, of images in [0, 1]
            under an orthonormal transform.
    """

    kind: Literal["few-lines"] = "few-lines"
    acceleration: float = Field(default=4.0, ge=1)
    center_fraction: float = Field(default=0.1, ge=0, le=1)
    noise: PositiveFloat = 0.02

    def operator(self, side: int, generator: torch.Generator) -> LinearOperator:
        """Return the transform, its lines drawn."""
        mask = cartesian_lines(
            (side, side), self.acceleration, self.center_fraction, generator=generator
        )
        return CartesianMRI(mask) @ RealToComplex((side, side))

    def rough(self, likelihood: Likelihood) -> Tensor:
        """Return the real part of the zero-filled images."""
        return zero_filled(likelihood)
