"""Configurations of what happens to images: missing pixels, blur, a coarser grid."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from invdiff.study.base import Config
from invdiff.study.psf import GaussianPSFConfig, PSFConfig
from operators import (
    Blur,
    Downsample,
    ImageGrid,
    LinearOperator,
    Mask,
    ReflectiveBlur,
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
    """Blur by a point spread function.

    Args:
        psf: The function; ``sigma`` stands for a Gaussian of that many pixels.
        boundary: Periodic or mirrored.
    """

    kind: Literal["blur"] = "blur"
    psf: PSFConfig = GaussianPSFConfig()
    boundary: Literal["circular", "reflective"] = "circular"

    @model_validator(mode="before")
    @classmethod
    def _accept_sigma(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "sigma" not in values:
            return values
        if "psf" in values:
            raise ValueError("give a sigma or a psf, not both")
        rest = {key: value for key, value in values.items() if key != "sigma"}
        return {**rest, "psf": {"kind": "gaussian", "sigma": values["sigma"]}}

    def build(self, grid: ImageGrid, generator: torch.Generator) -> LinearOperator:
        """Return the convolution."""
        psf = self.psf.build(grid.shape, generator)
        return (Blur if self.boundary == "circular" else ReflectiveBlur)(psf, grid.shape)

    def describe(self) -> str:
        """Say what is measured."""
        return f"the image blurred by {self.psf.describe()}"


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
