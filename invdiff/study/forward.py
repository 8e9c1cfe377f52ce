"""Configurations of the forward operators."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Literal, TypeVar

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from invdiff.study.base import Config
from operators import (
    Blur,
    CartesianMRI,
    Downsample,
    FanBeam2D,
    FanGeometry,
    ImageGrid,
    LinearOperator,
    Mask,
    ParallelBeam2D,
    ParallelGeometry,
    RealToComplex,
    ReflectiveBlur,
    birdcage_maps,
    cartesian_lines,
    equispaced_lines,
    gaussian_psf,
)

__all__ = [
    "BlurConfig",
    "BoxMaskConfig",
    "DownsampleConfig",
    "FanConfig",
    "InpaintingConfig",
    "MRIConfig",
    "OperatorConfig",
    "ParallelConfig",
    "RandomMaskConfig",
]

Geometry = TypeVar("Geometry", ParallelGeometry, FanGeometry)


class _ScanConfig(Config):
    """A CT scan.

    Args:
        views: Number of views, equally spaced.
        arc: Angular range in radians.
        detectors: Detector elements; by default as many as cover the image.
        detector_spacing: Their pitch in mm; by default the image's pixel, magnified.
        detector_offset: Shift of the detector along itself in mm.
    """

    views: PositiveInt
    detectors: PositiveInt | None = None
    detector_spacing: PositiveFloat | None = None
    detector_offset: float = 0.0

    def _adjusted(self, geometry: Geometry) -> Geometry:
        """Return the geometry with the detector that is asked for."""
        return dataclasses.replace(
            geometry,
            num_detectors=self.detectors or geometry.num_detectors,
            detector_spacing=self.detector_spacing or geometry.detector_spacing,
            detector_offset=self.detector_offset,
        )


class ParallelConfig(_ScanConfig):
    """CT with parallel rays."""

    kind: Literal["ct-parallel"] = "ct-parallel"
    arc: PositiveFloat = math.pi

    def build(self, grid: ImageGrid, generator: torch.Generator) -> LinearOperator:
        """Return the projector of a grid."""
        geometry = ParallelGeometry.covering(grid, self.views, self.arc)
        return ParallelBeam2D(grid, self._adjusted(geometry))

    def describe(self) -> str:
        """Say what is measured."""
        return f"{self.views} parallel-beam views over {math.degrees(self.arc):.0f} degrees"


class FanConfig(_ScanConfig):
    """CT with rays from a point source; distances in mm."""

    kind: Literal["ct-fan"] = "ct-fan"
    arc: PositiveFloat = 2 * math.pi
    source_to_axis: PositiveFloat = 541.0
    source_to_detector: PositiveFloat = 949.0

    def build(self, grid: ImageGrid, generator: torch.Generator) -> LinearOperator:
        """Return the projector of a grid."""
        geometry = FanGeometry.covering(
            grid,
            self.views,
            self.arc,
            source_to_axis=self.source_to_axis,
            source_to_detector=self.source_to_detector,
        )
        return FanBeam2D(grid, self._adjusted(geometry))

    def describe(self) -> str:
        """Say what is measured."""
        return f"{self.views} fan-beam views over {math.degrees(self.arc):.0f} degrees"


class MRIConfig(Config):
    """Multi-coil Cartesian MR, lines of k-space left out.

    Args:
        coils: Simulated coils on a ring; measured k-space has its own.
        acceleration: Lines of k-space over sampled lines.
        center_fraction: Share of the lines in the fully sampled centre.
        pattern: Which lines are sampled outside the centre.
        phase_axis: Axis of the image along which lines are left out.
    """

    kind: Literal["mri-cartesian"] = "mri-cartesian"
    coils: PositiveInt = 8
    acceleration: float = Field(4.0, ge=1)
    center_fraction: float = Field(0.08, ge=0, le=1)
    pattern: Literal["random", "equispaced"] = "random"
    phase_axis: Literal["rows", "columns"] = "columns"

    def build(self, grid: ImageGrid, generator: torch.Generator) -> LinearOperator:
        """Return the map from a real image to the k-space of simulated coils."""
        maps = birdcage_maps(grid.shape, self.coils)
        return CartesianMRI(self._mask(grid, generator), maps) @ RealToComplex(grid.shape)

    def describe(self) -> str:
        """Say what is measured."""
        return (
            f"{self.acceleration:g}x undersampled k-space of {self.coils} coils "
            f"({self.pattern} lines, {self.center_fraction:.0%} centre)"
        )

    def _mask(self, grid: ImageGrid, generator: torch.Generator) -> Tensor:
        axis = -1 if self.phase_axis == "columns" else -2
        numbers = (grid.shape, self.acceleration, self.center_fraction)
        if self.pattern == "equispaced":
            return equispaced_lines(*numbers, axis=axis)
        return cartesian_lines(*numbers, axis=axis, generator=generator)


class RandomMaskConfig(Config):
    """Pixels measured at random, a share ``keep`` of them on average."""

    kind: Literal["random"] = "random"
    keep: float = Field(0.3, gt=0, le=1)

    def build(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Return the mask, True where measured."""
        return torch.rand(shape, generator=generator) < self.keep

    def describe(self) -> str:
        """Say what is measured."""
        return f"a random {self.keep:.0%} of the pixels"


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


OperatorConfig = Annotated[
    ParallelConfig | FanConfig | MRIConfig | InpaintingConfig | BlurConfig | DownsampleConfig,
    Field(discriminator="kind"),
]
