"""Pixel grids, and where the rays of a two-dimensional CT scan run."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from operators.ct.detector import Array as Array
from operators.ct.detector import LineDetector, equal_angles
from operators.ct.fan import FanGeometry as FanGeometry
from operators.ct.fan import check_source as check_source
from operators.ct.vectors2d import VectorGeometry2D


@dataclass(frozen=True)
class ImageGrid:
    """A rectangular pixel grid centred on the axis of rotation.

    Pixel (row i, column j) has its centre at x = (j - (columns - 1) / 2) * dx and
    y = ((rows - 1) / 2 - i) * dy: x runs to the right of the picture and y to its top.

    Args:
        shape: (rows, columns).
        pixel_size: Edge lengths (dy, dx) in mm.

    Raises:
        ValueError: If either is not two positive finite numbers.
    """

    shape: tuple[int, int]
    pixel_size: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise ValueError(f"image shape must be (rows, columns), got {self.shape}")
        if len(self.pixel_size) != 2 or not all(0 < p < math.inf for p in self.pixel_size):
            raise ValueError(f"pixel size must be two positive lengths, got {self.pixel_size}")

    @property
    def diagonal(self) -> float:
        """Length of the grid's diagonal in mm, which every detector must cover."""
        return math.hypot(*(n * p for n, p in zip(self.shape, self.pixel_size, strict=True)))

    def coordinates(self) -> tuple[Array, Array]:
        """Return x of every column and y of every row, in mm."""
        (rows, columns), (dy, dx) = self.shape, self.pixel_size
        x = (np.arange(columns) - (columns - 1) / 2) * dx
        y = ((rows - 1) / 2 - np.arange(rows)) * dy
        return x, y


@dataclass(frozen=True)
class ParallelGeometry(LineDetector):
    """Parallel rays: at angle t the detector lies along (cos t, sin t).

    Args:
        angles: View angles in radians.
        num_detectors: Detector elements.
        detector_spacing: Their pitch in mm.
        detector_offset: Shift of the detector's centre along itself in mm.

    Raises:
        ValueError: If there is no view or element, or a number is not finite or not positive.
    """

    def fan_angles(self) -> Array:
        """Return the angle of every ray of a view to the central ray: zeros, (detectors,)."""
        return np.zeros(self.num_detectors)

    def axis_distances(self) -> Array:
        """Return the signed distance of every ray of a view from the axis, (detectors,), in mm."""
        return self.detector_positions()

    def rays(self) -> tuple[Array, Array]:
        """Return a point on every ray and its unit direction, shape (views, detectors, 2)."""
        across, forward = self._axes()
        points = self.detector_positions()[None, :, None] * across[:, None, :]
        return points, np.broadcast_to(forward[:, None, :], points.shape)

    def vectors(self) -> VectorGeometry2D:
        """Return the same scan as a vector for every view."""
        across, forward = self._axes()
        centre, step = self.detector_offset * across, self.detector_spacing * across
        return VectorGeometry2D("parallel", forward, centre, step, self.num_detectors)

    def with_field_of_view(self, diameter: float) -> ParallelGeometry:
        """Return the scan with as many elements as see a disc about the axis.

        A smaller field than the object gives truncated views.

        Args:
            diameter: Of the disc in mm, for a detector without offset.

        Raises:
            ValueError: If it is not positive and finite.
        """
        if not 0 < diameter < math.inf:
            raise ValueError(f"field of view must be positive, got {diameter}")
        count = math.ceil(diameter / self.detector_spacing)
        return dataclasses.replace(self, num_detectors=count)

    @classmethod
    def covering(
        cls, grid: ImageGrid, num_views: int, arc: float = math.pi, *, start: float = 0.0
    ) -> ParallelGeometry:
        """Equally spaced views over an arc, with a detector as fine as the pixels.

        Args:
            grid: The image; its diagonal is covered.
            num_views: Views, the last one step short of ``start + arc``.
            arc: Angular range in radians; less than pi is limited-angle CT.
            start: Angle of the first view in radians.

        Raises:
            ValueError: If there is no view.
        """
        one = cls(equal_angles(num_views, arc, start), 1, min(grid.pixel_size))
        return one.with_field_of_view(grid.diagonal)
