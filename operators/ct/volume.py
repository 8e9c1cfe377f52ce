"""Volumes, and three-dimensional scans as the plain vectors that every projector reads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class VolumeGrid:
    """A box of voxels centred on the origin, the axis of rotation being z.

    Voxel (slice k, row i, column j) has its centre at x = (j - (columns - 1) / 2) * dx,
    y = ((rows - 1) / 2 - i) * dy and z = (k - (slices - 1) / 2) * dz: a slice lies in x and y as an
    :class:`~operators.ct.geometry.ImageGrid` does.

    Args:
        shape: (slices, rows, columns).
        voxel_size: Edge lengths (dz, dy, dx) in mm.

    Raises:
        ValueError: If either is not three positive finite numbers.
    """

    shape: tuple[int, int, int]
    voxel_size: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"volume shape must be (slices, rows, columns), got {self.shape}")
        if len(self.voxel_size) != 3 or not all(0 < p < math.inf for p in self.voxel_size):
            raise ValueError(f"voxel size must be three positive lengths, got {self.voxel_size}")

    @property
    def radius(self) -> float:
        """Radius of the cylinder about the axis that holds every voxel, in mm."""
        (_, rows, columns), (_, dy, dx) = self.shape, self.voxel_size
        return math.hypot(rows * dy, columns * dx) / 2

    @property
    def height(self) -> float:
        """Extent along the axis in mm."""
        return self.shape[0] * self.voxel_size[0]


@dataclass(frozen=True, eq=False)
class ScanVectors:
    """Where source and detector are in every view, in the order of ASTRA's ``*_vec`` geometries.

    Ray (view w, row r, column c) passes through
    ``centre[w] + (c - (columns - 1) / 2) u[w] + (r - (rows - 1) / 2) v[w]``, coming from the
    emitter.

    Args:
        kind: Whether rays are parallel, or come from a point.
        emitter: Direction of the rays (parallel), or position of the source in mm (cone);
            (views, 3) in x, y, z.
        centre: Centre of the detector in mm, (views, 3).
        u: Step from one detector column to the next in mm, (views, 3).
        v: Step from one detector row to the next in mm, (views, 3).
        detector_shape: (rows, columns).

    Raises:
        ValueError: If an array has another shape or isn't finite, a detector is degenerate or
            parallel to its rays, or it has no element.
    """

    kind: Literal["parallel", "cone"]
    emitter: Array
    centre: Array
    u: Array
    v: Array
    detector_shape: tuple[int, int]

    def __post_init__(self) -> None:
        if self.kind not in ("parallel", "cone"):
            raise ValueError(f"scan kind must be parallel or cone, got {self.kind!r}")
        for name in ("emitter", "centre", "u", "v"):
            values = np.array(getattr(self, name), dtype=np.float64)
            if values.ndim != 2 or values.shape != (len(self.emitter), 3) or not len(values):
                raise ValueError(f"{name}: expected (views, 3) with a view, got {values.shape}")
            if not np.isfinite(values).all():
                raise ValueError(f"{name}: not finite")
            object.__setattr__(self, name, values)
        if len(self.detector_shape) != 2 or min(self.detector_shape) < 1:
            raise ValueError(f"detector must be (rows, columns), got {self.detector_shape}")
        forward = self.emitter if self.kind == "parallel" else self.centre - self.emitter
        area = np.abs(np.sum(np.cross(self.u, self.v) * forward, axis=1))
        scale = np.prod([np.linalg.norm(a, axis=1) for a in (self.u, self.v, forward)], axis=0)
        if not (area > 1e-6 * scale).all():
            raise ValueError("a detector is degenerate, or parallel to its rays")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(views, rows, columns)."""
        return (len(self.emitter), *self.detector_shape)
