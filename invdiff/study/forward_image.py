"""Configurations of what happens to images: missing pixels, blur, a coarser grid."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from invdiff.study.base import Config
from operators import (
    Blur,
    Downsample,
    ImageGrid,
    LinearOperator,
    Mask,
    ReflectiveBlur,
    gaussian_psf,
)

__all__ = [
    "BlurConfig",
    "BoxMaskConfig",
    "DownsampleConfig",
    "InpaintingConfig",
    "RandomMaskConfig",
]


class RandomMaskConfig(Config):
    """Pixels measured at random, a share ``keep`` of them on average."""

    kind: Literal["random"] = "random"
    keep: float = Field(0.3, gt=0, le=1)

    def build(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Return the mask, True where measured."""
        return torch.rand(shape, generator=generator) < self.keep

    def describe(self) -> str:
        """Say what is measured."""
        return f"a random {100 * self.keep:g} % of the pixels"


class BoxMaskConfig(Config):
    """A square hole in the middle; its side in pixels."""

    kind: Literal["box"] = "box"
    side: PositiveInt = 64

    def build(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Return the mask, True where measured."""
        mask = torch.ones(shape, dtype=torch.bool)
        top, left = ((n - self.side) // 2 for n in shape)
        if min(top, left) < 0:
            raise ValueError(f"operator.mask.side: the image is {shape}, got {self.side}")
        mask[top : top + self.side, left : left + self.side] = False
        return mask

    def describe(self) -> str:
        """Say what is measured."""
        return f"all pixels but a square of {self.side} x {self.side} in the middle"


class InpaintingConfig(Config):
    """Pixels missing from an image."""

    kind: Literal["inpainting"] = "inpainting"
    mask: Annotated[RandomMaskConfig | BoxMaskConfig, Field(discriminator="kind")] = (
        RandomMaskConfig(keep=0.3)
    )

    def build(self, grid: ImageGrid, generator: torch.Generator) -> LinearOperator:
        """Return the mask as an operator."""
        return Mask(self.mask.build(grid.shape, generator))

    def describe(self) -> str:
        """Say what is measured."""
        return self.mask.describe()


class BlurConfig(Config):
    """Blur by a Gaussian point spread function; sigma in pixels."""

    kind: Literal["blur"] = "blur"
    sigma: PositiveFloat = 2.0
    boundary: Literal["circular", "reflective"] = "circular"

    def build(self, grid: ImageGrid, generator: torch.Generator) -> LinearOperator:
        """Return the convolution."""
        # beyond four standard deviations a Gaussian is below float32 rounding of its peak's sum
        size = [min(n, 2 * math.ceil(4 * self.sigma) + 1) for n in grid.shape]
        psf = gaussian_psf(self.sigma, size)
        return (Blur if self.boundary == "circular" else ReflectiveBlur)(psf, grid.shape)

    def describe(self) -> str:
        """Say what is measured."""
        return f"the image blurred by a Gaussian of {self.sigma:g} pixels"


class DownsampleConfig(Config):
    """A coarser grid, anti-aliased."""

    kind: Literal["downsample"] = "downsample"
    factor: PositiveInt = 4
    kernel: Literal["bicubic", "box", "lanczos3"] = "bicubic"

    def build(self, grid: ImageGrid, generator: torch.Generator) -> LinearOperator:
        """Return the resampling."""
        return Downsample(grid.shape, self.factor, self.kernel)

    def describe(self) -> str:
        """Say what is measured."""
        return f"the image on a {self.factor}x coarser grid ({self.kernel})"
