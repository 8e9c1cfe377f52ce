"""Where the rays of a two-dimensional CT scan run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

Array = np.ndarray


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
class _Detector:
    angles: tuple[float, ...]
    num_detectors: int
    detector_spacing: float
    detector_offset: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "angles", tuple(float(a) for a in self.angles))
        if not self.angles or not np.isfinite(self.angles).all():
            raise ValueError(f"angles must be finite and at least one, got {self.angles}")
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
        """Unit vectors along the detector and along the central ray, shape (views, 2) each."""
        cos, sin = np.cos(self.angles), np.sin(self.angles)
        return np.stack([cos, sin], -1), np.stack([-sin, cos], -1)


def _equal_angles(num_views: int, arc: float) -> tuple[float, ...]:
    if num_views < 1:
        raise ValueError(f"num_views must be positive, got {num_views}")
    return tuple(np.arange(num_views) * (arc / num_views))


@dataclass(frozen=True)
class ParallelGeometry(_Detector):
    """Parallel rays: at angle t the detector lies along (cos t, sin t).

    Args:
        angles: View angles in radians.
        num_detectors: Detector elements.
        detector_spacing: Their pitch in mm.
        detector_offset: Shift of the detector's centre along itself in mm.

    Raises:
        ValueError: If there is no view or element, or a number is not finite or not positive.
    """

    def rays(self) -> tuple[Array, Array]:
        """Return a point on every ray and its unit direction, shape (views, detectors, 2)."""
        along, forward = self._axes()
        points = self.detector_positions()[None, :, None] * along[:, None, :]
        return points, np.broadcast_to(forward[:, None, :], points.shape)

    @classmethod
    def covering(cls, grid: ImageGrid, num_views: int, arc: float = math.pi) -> ParallelGeometry:
        """Equally spaced views over an arc, with a detector as fine as the pixels.

        Args:
            grid: The image; its diagonal is covered.
            num_views: Views, the last one step short of ``arc``.
            arc: Angular range in radians.

        Raises:
            ValueError: If there is no view.
        """
        spacing = min(grid.pixel_size)
        angles = _equal_angles(num_views, arc)
        return cls(angles, math.ceil(grid.diagonal / spacing), spacing)


@dataclass(frozen=True)
class FanGeometry(_Detector):
    """Rays from a point source to a flat detector, both turning about the image centre.

    Args:
        angles: View angles in radians; at 0 the source is below the image, the detector above.
        num_detectors: Detector elements.
        detector_spacing: Their pitch on the detector in mm.
        detector_offset: Shift of the detector's centre along itself in mm.
        source_to_axis: Distance from source to axis of rotation in mm.
        source_to_detector: Distance from source to detector in mm.

    Raises:
        ValueError: As for parallel rays, or if the axis is not between source and detector.
    """

    source_to_axis: float = field(kw_only=True)
    source_to_detector: float = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.source_to_axis <= self.source_to_detector < math.inf:
            raise ValueError(
                "expected 0 < source_to_axis <= source_to_detector, got "
                f"{self.source_to_axis} and {self.source_to_detector}"
            )

    @property
    def magnification(self) -> float:
        """How much larger the shadow of an object on the axis is than the object."""
        return self.source_to_detector / self.source_to_axis

    def rays(self) -> tuple[Array, Array]:
        """Return the source of every ray and its unit direction, shape (views, detectors, 2)."""
        along, forward = self._axes()
        offsets = self.detector_positions()[None, :, None] * along[:, None, :]
        direction = offsets + self.source_to_detector * forward[:, None, :]
        source = np.broadcast_to(-self.source_to_axis * forward[:, None, :], direction.shape)
        return source, direction / np.linalg.norm(direction, axis=-1, keepdims=True)

    @classmethod
    def covering(
        cls,
        grid: ImageGrid,
        num_views: int,
        arc: float = 2 * math.pi,
        *,
        source_to_axis: float,
        source_to_detector: float,
    ) -> FanGeometry:
        """Equally spaced views with a detector that sees the whole grid from every angle.

        Args:
            grid: The image; its diagonal must fit between source and axis.
            num_views: Views, the last one step short of ``arc``.
            arc: Angular range in radians.
            source_to_axis: In mm.
            source_to_detector: In mm.

        Raises:
            ValueError: If there is no view, or the source would pass through the image.
        """
        radius = grid.diagonal / 2
        check_source(source_to_axis, grid)
        spacing = min(grid.pixel_size) * source_to_detector / source_to_axis
        half_width = source_to_detector * math.tan(math.asin(radius / source_to_axis))
        return cls(
            _equal_angles(num_views, arc),
            math.ceil(2 * half_width / spacing),
            spacing,
            source_to_axis=source_to_axis,
            source_to_detector=source_to_detector,
        )


def check_source(source_to_axis: float, grid: ImageGrid) -> None:
    """Refuse a source that turns within the circle about the grid, with a ValueError."""
    radius = grid.diagonal / 2
    if not source_to_axis > radius:
        raise ValueError(
            f"the source is {source_to_axis} mm from the axis, inside the image, which reaches "
            f"{radius:g} mm"
        )
