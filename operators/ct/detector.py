"""What every two-dimensional scan has: view angles and a row of detector elements."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class LineDetector:
    """View angles in radians and equally spaced elements, as the geometries document them."""

    angles: tuple[float, ...]
    num_detectors: int
    detector_spacing: float
    detector_offset: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "angles", checked_angles(self.angles))
        if self.num_detectors < 1:
            raise ValueError(f"num_detectors must be positive, got {self.num_detectors}")
        if not 0 < self.detector_spacing < math.inf:
            raise ValueError(f"detector_spacing must be positive, got {self.detector_spacing}")
        if not math.isfinite(self.detector_offset):
            raise ValueError(f"detector_offset must be finite, got {self.detector_offset}")

    @property
    def shape(self) -> tuple[int, int]:
        """(views, detector elements)."""
        return len(self.angles), self.num_detectors

    def detector_positions(self) -> Array:
        """Return the signed position of every detector element along the detector, in mm."""
        centred = np.arange(self.num_detectors) - (self.num_detectors - 1) / 2
        return centred * self.detector_spacing + self.detector_offset

    def _axes(self) -> tuple[Array, Array]:
        return plane_axes(self.angles)


def plane_axes(angles: tuple[float, ...]) -> tuple[Array, Array]:
    """Return unit vectors across and along the central ray, shape (views, 2) each."""
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([cos, sin], -1), np.stack([-sin, cos], -1)


def checked_angles(angles: tuple[float, ...]) -> tuple[float, ...]:
    """Return the angles as floats; ``ValueError`` if there is none, or one is not finite."""
    floats = tuple(float(a) for a in angles)
    if not floats or not np.isfinite(floats).all():
        raise ValueError(f"angles must be finite and at least one, got {floats}")
    return floats


def equal_angles(num_views: int, arc: float, start: float = 0.0) -> tuple[float, ...]:
    """Return equally spaced angles from ``start``, the last one step short of ``start + arc``."""
    if num_views < 1:
        raise ValueError(f"num_views must be positive, got {num_views}")
    return tuple(start + np.arange(num_views) * (arc / num_views))
