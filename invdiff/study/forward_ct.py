"""Configurations of CT scans."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, TypeVar

import torch
from pydantic import PositiveFloat, PositiveInt

from invdiff.study.base import Config
from operators import (
    FanBeam2D,
    FanGeometry,
    ImageGrid,
    LinearOperator,
    ParallelBeam2D,
    ParallelGeometry,
)

__all__ = ["FanConfig", "ParallelConfig"]

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
