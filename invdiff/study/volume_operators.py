"""Configurations of what measures a volume: a stack of slices, or all of it at once."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Literal, Self, TypeVar

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from invdiff.study.base import Config
from invdiff.study.forward import OperatorConfig
from operators import (
    CartesianMRI,
    ConeBeam3D,
    ConeGeometry,
    ImageGrid,
    LinearOperator,
    ParallelBeam3D,
    ParallelGeometry3D,
    RealToComplex,
    SliceStack,
    VolumeGrid,
    birdcage_maps,
    poisson_disc_points,
    random_points,
)

__all__ = [
    "ConeConfig",
    "MRI3DConfig",
    "Parallel3DConfig",
    "StackConfig",
    "VolumeOperatorConfig",
]

Geometry = TypeVar("Geometry", ParallelGeometry3D, ConeGeometry)


class StackConfig(Config):
    """The same scan of every slice.

    Args:
        operator: Of one slice; such as ``{kind: ct-parallel, views: 30}``.
    """

    kind: Literal["stack"] = "stack"
    operator: OperatorConfig

    def build(self, grid: VolumeGrid, generator: torch.Generator) -> LinearOperator:
        """Return the operator of a volume, whose slices have one mask if they have any."""
        (slices, rows, columns), (_, dy, dx) = grid.shape, grid.voxel_size
        inner = self.operator.build(ImageGrid((rows, columns), (dy, dx)), generator)
        return SliceStack(inner, slices)

    def describe(self) -> str:
        """Say what is measured."""
        return f"{self.operator.describe()}, of every slice"


class _PanelConfig(Config):
    """A CT scan with a flat panel.

    Args:
        views: Number of views, equally spaced.
        detector_shape: (rows, columns) of the panel; by default as many as cover the volume.
        detector_spacing: Pitch from row to row and from column to column in mm; by default that
            of the voxels, magnified.
        detector_offset: Shift of the panel along its columns and along its rows in mm.
    """

    views: PositiveInt
    detector_shape: tuple[PositiveInt, PositiveInt] | None = None
    detector_spacing: tuple[PositiveFloat, PositiveFloat] | None = None
    detector_offset: tuple[float, float] = (0.0, 0.0)

    def _adjusted(self, geometry: Geometry) -> Geometry:
        """Return the geometry with the panel that is asked for."""
        return dataclasses.replace(
            geometry,
            detector_shape=self.detector_shape or geometry.detector_shape,
            detector_spacing=self.detector_spacing or geometry.detector_spacing,
            detector_offset=self.detector_offset,
        )


class Parallel3DConfig(_PanelConfig):
    """CT with parallel rays onto a panel."""

    kind: Literal["ct-parallel-3d"] = "ct-parallel-3d"
    arc: PositiveFloat = math.pi

    def build(self, grid: VolumeGrid, generator: torch.Generator) -> LinearOperator:
        """Return the projector of a volume."""
        geometry = ParallelGeometry3D.covering(grid, self.views, self.arc)
        return ParallelBeam3D(grid, self._adjusted(geometry))

    def describe(self) -> str:
        """Say what is measured."""
        return f"{self.views} parallel-beam views over {math.degrees(self.arc):.0f} degrees"


class ConeConfig(_PanelConfig):
    """CT with rays from a point source, on a circle or a helix; distances in mm.

    Args:
        arc: Angular range of a circular scan in radians; a full turn by default.
        pitch: Climb per turn in mm, and ``views`` are those of one turn; 0 is a circle.
    """

    kind: Literal["ct-cone"] = "ct-cone"
    arc: PositiveFloat | None = None
    pitch: float = 0.0
    source_to_axis: PositiveFloat = 541.0
    source_to_detector: PositiveFloat = 949.0

    @model_validator(mode="after")
    def _check_arc(self) -> Self:
        if self.pitch and self.arc is not None:
            raise ValueError("arc: is for a circle; a helix goes on until it has seen the volume")
        return self

    def build(self, grid: VolumeGrid, generator: torch.Generator) -> LinearOperator:
        """Return the projector of a volume."""
        return ConeBeam3D(grid, self._adjusted(self._path(grid)))

    def describe(self) -> str:
        """Say what is measured."""
        if self.pitch:
            return f"helical cone-beam CT, {self.views} views and {self.pitch:g} mm per turn"
        return f"{self.views} cone-beam views over {math.degrees(self._arc):.0f} degrees"

    @property
    def _arc(self) -> float:
        return self.arc or 2 * math.pi

    def _path(self, grid: VolumeGrid) -> ConeGeometry:
        axis, detector = self.source_to_axis, self.source_to_detector
        if self.pitch:
            return ConeGeometry.helical(
                grid, self.views, self.pitch, source_to_axis=axis, source_to_detector=detector
            )
        return ConeGeometry.covering(
            grid, self.views, self._arc, source_to_axis=axis, source_to_detector=detector
        )


class MRI3DConfig(Config):
    """Multi-coil Cartesian MR of a volume, undersampled along both phase-encoding axes.

    Args:
        coils: Simulated coils on a ring.
        acceleration: Points of the phase-encoding plane over sampled points.
        center_fraction: Side of the fully sampled central block over that of the plane.
        pattern: How the points outside the block are drawn: as far from each other as so many
            can be, or independently.
        edge_ratio: Of a "poisson-disc" pattern: distance between points at the edge of k-space
            over that at its centre.
        readout: Axis of the volume along which k-space is fully sampled. Along "slices" every
            slice is a scan of its own; otherwise the slices are encoded together.
    """

    kind: Literal["mri-cartesian-3d"] = "mri-cartesian-3d"
    coils: PositiveInt = 8
    acceleration: float = Field(4.0, ge=1)
    center_fraction: float = Field(0.1, ge=0, le=1)
    pattern: Literal["poisson-disc", "random"] = "poisson-disc"
    edge_ratio: float = Field(2.0, ge=1)
    readout: Literal["slices", "rows", "columns"] = "rows"

    def build(self, grid: VolumeGrid, generator: torch.Generator) -> LinearOperator:
        """Return the map from a real volume to the k-space of simulated coils."""
        maps = birdcage_maps(grid.shape, self.coils)
        return CartesianMRI(self._mask(grid, generator), maps) @ RealToComplex(grid.shape)

    def describe(self) -> str:
        """Say what is measured."""
        return (
            f"{self.acceleration:g}x undersampled 3D k-space of {self.coils} coils "
            f"({self.pattern} points, {100 * self.center_fraction:g} % centre)"
        )

    def _mask(self, grid: VolumeGrid, generator: torch.Generator) -> Tensor:
        axis = ("slices", "rows", "columns").index(self.readout)
        plane = [n for a, n in enumerate(grid.shape) if a != axis]
        numbers = (plane, self.acceleration, self.center_fraction)
        if self.pattern == "poisson-disc":
            points = poisson_disc_points(*numbers, edge_ratio=self.edge_ratio, generator=generator)
        else:
            points = random_points(*numbers, generator=generator)
        return points.unsqueeze(axis).expand(grid.shape)


VolumeOperatorConfig = Annotated[
    StackConfig | Parallel3DConfig | ConeConfig | MRI3DConfig,
    Field(discriminator="kind"),
]
