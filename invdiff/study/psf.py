"""Configurations of point spread functions; lengths in pixels, angles in radians."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from invdiff.study.base import Config
from operators import defocus_psf, gaussian_psf, motion_psf, random_motion_psf

__all__ = ["DefocusPSFConfig", "GaussianPSFConfig", "MotionPSFConfig", "PSFConfig"]


class GaussianPSFConfig(Config):
    """A Gaussian of that standard deviation."""

    kind: Literal["gaussian"] = "gaussian"
    sigma: PositiveFloat = 2.0

    def build(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Return the function, no larger than the image."""
        # beyond four standard deviations a Gaussian is below float32 rounding of its peak's sum
        size = [min(n, 2 * math.ceil(4 * self.sigma) + 1) for n in shape]
        return gaussian_psf(self.sigma, size)

    def describe(self) -> str:
        """Say what a point becomes."""
        return f"a Gaussian of {self.sigma:g} pixels"


class MotionPSFConfig(Config):
    """A path of even speed.

    Args:
        length: Length of the path.
        angle: Direction of a straight path, from the columns' axis towards decreasing rows.
        persistence: Length over which a random path keeps its direction, instead of an angle;
            the seed of the experiment decides on the path.
    """

    kind: Literal["motion"] = "motion"
    length: NonNegativeFloat = 9.0
    angle: float = 0.0
    persistence: PositiveFloat | None = None

    def build(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Return the function; ``ValueError`` where the path does not fit into the image."""
        size = _odd_size(self.length / 2 + 1)
        _check_fits("length", self.length, size, shape)
        if self.persistence is None:
            return motion_psf(self.length, self.angle, size)
        return random_motion_psf(self.length, self.persistence, size, generator=generator)

    def describe(self) -> str:
        """Say what a point becomes."""
        if self.persistence is None:
            return f"a straight motion of {self.length:g} pixels"
        return f"a random motion of {self.length:g} pixels"


class DefocusPSFConfig(Config):
    """A disc of that radius."""

    kind: Literal["defocus"] = "defocus"
    radius: PositiveFloat = 3.0

    def build(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Return the function; ``ValueError`` where the disc does not fit into the image."""
        size = _odd_size(self.radius)
        _check_fits("radius", self.radius, size, shape)
        return defocus_psf(self.radius, size)

    def describe(self) -> str:
        """Say what a point becomes."""
        return f"a disc of radius {self.radius:g} pixels"


PSFConfig = Annotated[
    GaussianPSFConfig | MotionPSFConfig | DefocusPSFConfig, Field(discriminator="kind")
]


def _odd_size(reach: float) -> int:
    return 2 * math.ceil(reach) + 1


def _check_fits(name: str, value: float, size: int, shape: tuple[int, int]) -> None:
    if size > min(shape):
        raise ValueError(f"operator.psf.{name}: the image is {shape}, got {value:g}")
