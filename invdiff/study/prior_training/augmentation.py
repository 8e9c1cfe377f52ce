"""How training images are changed, as values of a configuration."""

from __future__ import annotations

from typing import Self

from pydantic import Field, NonNegativeFloat, model_validator

from invdiff.study.base import Config
from invdiff.training.augmentation import Augmentation

__all__ = ["AugmentationConfig"]


class AugmentationConfig(Config):
    """Random changes of the images on their device, see ``Augmentation``; 0 leaves one out.

    Args:
        rotation_deg: Largest angle to either side, in degrees.
        scale: Largest change of the size.
        shift: Largest shift along each axis, as a share of the side.
        flip: Probability that left and right are exchanged.
        elastic_px: Standard deviation of a smooth displacement, in pixels.
        elastic_grid: Distance of the points that it is drawn at, in pixels.
        gamma: Standard deviation of the logarithm of a power; for MR, whose scale isn't fixed.
        bias: Standard deviation of the logarithm of a smooth factor; for MR.
        phase: Standard deviation of a smooth phase, in radians; for complex images.
    """

    rotation_deg: NonNegativeFloat = 10.0
    scale: NonNegativeFloat = 0.1
    shift: NonNegativeFloat = 0.03
    flip: float = Field(default=0.5, ge=0, le=1)
    elastic_px: NonNegativeFloat = 1.0
    elastic_grid: float = Field(default=32.0, ge=1)
    gamma: NonNegativeFloat = 0.0
    bias: NonNegativeFloat = 0.0
    phase: NonNegativeFloat = 0.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.build()
        return self

    def build(self) -> Augmentation:
        """Return the change of a batch."""
        return Augmentation(**self.model_dump())
