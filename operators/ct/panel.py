"""What every scan about the z axis with a flat panel has."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from operators.ct.detector import Array, checked_angles, plane_axes


@dataclass(frozen=True)
class FlatPanel:
    """View angles and a flat detector, as the geometries document them."""

    angles: tuple[float, ...]
    detector_shape: tuple[int, int]
    detector_spacing: tuple[float, float]
    detector_offset: tuple[float, float] = (0.0, 0.0)
    detector_tilt: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "angles", checked_angles(self.angles))
        if len(self.detector_shape) != 2 or min(self.detector_shape) < 1:
            raise ValueError(f"detector must be (rows, columns), got {self.detector_shape}")
        spacing, offset = self.detector_spacing, self.detector_offset
        if len(spacing) != 2 or not all(0 < p < math.inf for p in spacing):
            raise ValueError(f"detector_spacing must be two positive lengths, got {spacing}")
        if len(offset) != 2 or not np.isfinite(offset).all():
            raise ValueError(f"detector_offset must be two finite lengths, got {offset}")
        if not math.isfinite(self.detector_tilt):
            raise ValueError(f"detector_tilt must be finite, got {self.detector_tilt}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(views, detector rows, detector columns)."""
        return (len(self.angles), *self.detector_shape)

    def detector_positions(self) -> tuple[Array, Array]:
        """Return the signed positions of rows and of columns along the detector, in mm."""
        (rows, columns), (dv, du) = self.detector_shape, self.detector_spacing
        up, across = self.detector_offset
        v = (np.arange(rows) - (rows - 1) / 2) * dv + up
        return v, (np.arange(columns) - (columns - 1) / 2) * du + across

    def _forward(self) -> Array:
        """Unit vectors along the central rays, (views, 3)."""
        return np.pad(plane_axes(self.angles)[1], ((0, 0), (0, 1)))

    def _panel(self, foot: Array) -> dict[str, Array]:
        """Vectors of a detector whose point on the central ray is ``foot``, (views, 3) each."""
        flat = np.pad(plane_axes(self.angles)[0], ((0, 0), (0, 1)))
        upright = np.broadcast_to([0.0, 0.0, 1.0], flat.shape)
        cos, sin = math.cos(self.detector_tilt), math.sin(self.detector_tilt)
        along_row, along_column = cos * flat + sin * upright, cos * upright - sin * flat
        (dv, du), (up, across) = self.detector_spacing, self.detector_offset
        centre = foot + across * along_row + up * along_column
        return {"centre": centre, "u": du * along_row, "v": dv * along_column}
