"""Where the rays of a fan-beam scan run."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from operators.ct.detector import LineDetector, equal_angles
from operators.ct.vectors2d import VectorGeometry2D

if TYPE_CHECKING:
    from operators.ct.detector import Array
    from operators.ct.geometry import ImageGrid


@dataclass(frozen=True)
class FanGeometry(LineDetector):
    r"""Rays from a point source to a detector, both turning about the image centre.

    The ray to position s leaves the central ray by the fan angle

    .. math:: \gamma = \arctan\frac{s \cos\tau}{D + s \sin\tau} \text{ (flat)}, \qquad
        \gamma = s / D \text{ (curved)}

    with D from source to detector and the tilt :math:`\tau`.

    Args:
        angles: View angles in radians; at 0 the source is below the image, the detector above.
        num_detectors: Detector elements.
        detector_spacing: Their pitch on the detector in mm, along the arc of a curved one.
        detector_offset: Shift of the detector's centre along itself in mm.
        source_to_axis: Distance from source to axis of rotation in mm.
        source_to_detector: Distance from source to detector in mm.
        detector: "flat", or "curved": an arc centred on the source, with equal fan angles.
        detector_tilt: Counter-clockwise turn of a flat detector, in the image plane, about its
            point on the central ray, in radians.

    Raises:
        ValueError: As for parallel rays; or if the axis is not between source and detector, a
            curved detector is tilted, or a ray leaves the central one by a right angle or more.
    """

    source_to_axis: float = field(kw_only=True)
    source_to_detector: float = field(kw_only=True)
    detector: Literal["flat", "curved"] = field(default="flat", kw_only=True)
    detector_tilt: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_distances(self.source_to_axis, self.source_to_detector)
        if self.detector not in ("flat", "curved"):
            raise ValueError(f"detector must be flat or curved, got {self.detector!r}")
        if not abs(self.detector_tilt) < math.pi / 2:
            raise ValueError(f"detector_tilt must be below pi / 2, got {self.detector_tilt}")
        if self.detector == "curved" and self.detector_tilt:
            raise ValueError("a curved detector cannot be tilted: shift it by detector_offset")
        if not (np.abs(self.fan_angles()) < math.pi / 2).all():
            raise ValueError("the detector reaches round the source: fan angles of pi / 2 or more")

    @property
    def magnification(self) -> float:
        """How much larger the shadow of an object on the axis is than the object."""
        return self.source_to_detector / self.source_to_axis

    def fan_angles(self) -> Array:
        """Return the angle of every ray of a view to the central ray, (detectors,), in radians."""
        position, distance = self.detector_positions(), self.source_to_detector
        if self.detector == "curved":
            return position / distance
        tilt = self.detector_tilt
        return np.arctan2(position * math.cos(tilt), distance + position * math.sin(tilt))

    def axis_distances(self) -> Array:
        """Return the signed distance of every ray of a view from the axis, (detectors,), in mm."""
        return self.source_to_axis * np.sin(self.fan_angles())

    def rays(self) -> tuple[Array, Array]:
        """Return the source of every ray and its unit direction, shape (views, detectors, 2)."""
        across, forward = self._axes()
        angle = self.fan_angles()[None, :, None]
        direction = np.sin(angle) * across[:, None] + np.cos(angle) * forward[:, None]
        return np.broadcast_to(-self.source_to_axis * forward[:, None], direction.shape), direction

    def vectors(self) -> VectorGeometry2D:
        """Return the same scan as a vector for every view.

        Raises:
            ValueError: The detector is curved.
        """
        if self.detector == "curved":
            raise ValueError("a curved detector has no vectors: use rays()")
        across, forward = self._axes()
        along = math.cos(self.detector_tilt) * across + math.sin(self.detector_tilt) * forward
        foot = (self.source_to_detector - self.source_to_axis) * forward
        return VectorGeometry2D(
            "fan",
            -self.source_to_axis * forward,
            foot + self.detector_offset * along,
            self.detector_spacing * along,
            self.num_detectors,
        )

    def with_field_of_view(self, diameter: float) -> FanGeometry:
        """Return the scan with as many elements as see a disc about the axis.

        A smaller field than the object gives truncated views.

        Args:
            diameter: Of the disc in mm, for a detector without offset.

        Raises:
            ValueError: If it is not positive, or the source lies in the disc.
        """
        if not 0 < diameter < 2 * self.source_to_axis:
            raise ValueError(
                f"field of view must be within (0, {2 * self.source_to_axis}) mm, got {diameter}"
            )
        angle = math.asin(diameter / 2 / self.source_to_axis)
        half = max(abs(self._position(a)) for a in (-angle, angle))
        count = math.ceil(2 * half / self.detector_spacing)
        return dataclasses.replace(self, num_detectors=count)

    def _position(self, fan_angle: float) -> float:
        if self.detector == "curved":
            return self.source_to_detector * fan_angle
        slant = math.cos(fan_angle + self.detector_tilt)
        if not slant > 0:
            raise ValueError(f"detector_tilt {self.detector_tilt}: the detector misses the image")
        return self.source_to_detector * math.sin(fan_angle) / slant

    @classmethod
    def covering(
        cls,
        grid: ImageGrid,
        num_views: int,
        arc: float = 2 * math.pi,
        *,
        source_to_axis: float,
        source_to_detector: float,
        start: float = 0.0,
        detector: Literal["flat", "curved"] = "flat",
        detector_tilt: float = 0.0,
    ) -> FanGeometry:
        """Equally spaced views with a detector that sees the whole grid from every angle.

        Args:
            grid: The image; its diagonal must fit between source and axis.
            num_views: Views, the last one step short of ``start + arc``.
            arc: Angular range in radians; less than a short scan is limited-angle CT.
            source_to_axis: In mm.
            source_to_detector: In mm.
            start: Angle of the first view in radians.
            detector: "flat" or "curved".
            detector_tilt: Of a flat detector, in radians.

        Raises:
            ValueError: If there is no view, or the source would pass through the image.
        """
        check_source(source_to_axis, grid)
        one = cls(
            equal_angles(num_views, arc, start),
            1,
            min(grid.pixel_size) * source_to_detector / source_to_axis,
            source_to_axis=source_to_axis,
            source_to_detector=source_to_detector,
            detector=detector,
            detector_tilt=detector_tilt,
        )
        return one.with_field_of_view(grid.diagonal)

    def short_scan(self, num_views: int, start: float = 0.0) -> FanGeometry:
        r"""Return the scan over :math:`\pi + 2 \gamma_m`, the least that sees every line.

        Args:
            num_views: Views, equally spaced.
            start: Angle of the first view in radians.

        Raises:
            ValueError: If there is no view.
        """
        wider = dataclasses.replace(self, num_detectors=self.num_detectors + 1)
        arc = math.pi + 2 * float(np.abs(wider.fan_angles()).max())
        return dataclasses.replace(self, angles=equal_angles(num_views, arc, start))


def check_distances(source_to_axis: float, source_to_detector: float) -> None:
    """Refuse an axis that is not between source and detector, with a ValueError."""
    if not 0 < source_to_axis <= source_to_detector < math.inf:
        raise ValueError(
            "expected 0 < source_to_axis <= source_to_detector, got "
            f"{source_to_axis} and {source_to_detector}"
        )


def check_source(source_to_axis: float, grid: ImageGrid) -> None:
    """Refuse a source that turns within the circle about the grid, with a ValueError."""
    radius = grid.diagonal / 2
    if not source_to_axis > radius:
        raise ValueError(
            f"the source is {source_to_axis} mm from the axis, inside the image, which reaches "
            f"{radius:g} mm"
        )
