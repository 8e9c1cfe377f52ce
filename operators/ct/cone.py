"""Cone-beam scans: circular, short and helical."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from operators.ct.detector import Array, equal_angles
from operators.ct.fan import FanGeometry, check_distances
from operators.ct.panel import FlatPanel
from operators.ct.volume import ScanVectors

if TYPE_CHECKING:
    from operators.ct.volume import VolumeGrid


@dataclass(frozen=True)
class ConeGeometry(FlatPanel):
    r"""Rays from a point source to a flat panel, both turning about z, and climbing in a helix.

    .. math:: z_{source}(t) = z_0 + \frac{pitch}{2 \pi} (t - t_0)

    with the middle :math:`t_0` of the first and last angle.

    Args:
        angles: View angles in radians; at 0 the source is at y = -source_to_axis.
        detector_shape: (rows, columns); row 0 is the lowest in z.
        detector_spacing: Pitch from row to row and from column to column in mm, on the detector.
        detector_offset: Shift of the detector's centre along its columns (up) and along its rows
            (across) in mm, in the order of the shape.
        detector_tilt: Turn of the detector about the central ray in radians, counter-clockwise as
            seen from the source.
        source_to_axis: Distance from source to axis of rotation in mm.
        source_to_detector: Distance from source to detector in mm.
        pitch: Climb in z per turn in mm, negative for a descent; 0 is a circle.
        axial_position: Height z_0 of the source at the middle angle, in mm.

    Raises:
        ValueError: If there is no view or element, a number is not finite or not positive, or the
            axis is not between source and detector.
    """

    source_to_axis: float = field(kw_only=True)
    source_to_detector: float = field(kw_only=True)
    pitch: float = field(default=0.0, kw_only=True)
    axial_position: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_distances(self.source_to_axis, self.source_to_detector)
        for name in ("pitch", "axial_position"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be finite, got {getattr(self, name)}")

    @property
    def magnification(self) -> float:
        """How much larger the shadow of an object on the axis is than the object."""
        return self.source_to_detector / self.source_to_axis

    def source_heights(self) -> Array:
        """Return z of the source in every view in mm, (views,)."""
        angles = np.array(self.angles)
        turns = (angles - (angles[0] + angles[-1]) / 2) / (2 * math.pi)
        return np.asarray(self.axial_position + self.pitch * turns)

    def midplane(self) -> FanGeometry:
        """Return the fan-beam scan in the plane of the source, of an upright detector."""
        return FanGeometry(
            self.angles,
            self.detector_shape[1],
            self.detector_spacing[1],
            self.detector_offset[1],
            source_to_axis=self.source_to_axis,
            source_to_detector=self.source_to_detector,
        )

    def vectors(self) -> ScanVectors:
        """Return the scan as the vectors that projectors read."""
        forward, height = self._forward(), np.zeros((len(self.angles), 3))
        height[:, 2] = self.source_heights()
        foot = height + (self.source_to_detector - self.source_to_axis) * forward
        source = height - self.source_to_axis * forward
        panel = self._panel(foot)
        return ScanVectors("cone", source, **panel, detector_shape=self.detector_shape)

    def short_scan(self, num_views: int, start: float = 0.0) -> ConeGeometry:
        """Return the scan over pi and the fan angle, the least that sees every line of a slice.

        Args:
            num_views: Views, equally spaced.
            start: Angle of the first view in radians.

        Raises:
            ValueError: If there is no view.
        """
        angles = self.midplane().short_scan(num_views, start).angles
        return dataclasses.replace(self, angles=angles)

    @classmethod
    def covering(
        cls,
        grid: VolumeGrid,
        num_views: int,
        arc: float = 2 * math.pi,
        *,
        source_to_axis: float,
        source_to_detector: float,
        start: float = 0.0,
    ) -> ConeGeometry:
        """Equally spaced views on a circle, with a detector that sees the whole volume.

        Args:
            grid: The volume; its cylinder must fit between source and axis.
            num_views: Views, the last one step short of ``start + arc``.
            arc: Angular range in radians.
            source_to_axis: In mm.
            source_to_detector: In mm.
            start: Angle of the first view in radians.

        Raises:
            ValueError: If there is no view, or the source would pass through the volume.
        """
        check_cylinder(source_to_axis, grid)
        # the voxels closest to the source throw the largest shadow
        height = grid.height * source_to_detector / (source_to_axis - grid.radius)
        return cls._over(
            grid, equal_angles(num_views, arc, start), height, source_to_axis, source_to_detector
        )

    @classmethod
    def helical(
        cls,
        grid: VolumeGrid,
        views_per_turn: int,
        pitch: float,
        *,
        source_to_axis: float,
        source_to_detector: float,
        start: float = 0.0,
    ) -> ConeGeometry:
        r"""Equally spaced views on a helix that sees every voxel from half a turn or more.

        The detector is as high as the window of Tam and Danielsson at its edge,
        :math:`\frac{pitch\,D}{\pi R} (\tfrac{\pi}{2} + \gamma_m) / \cos^2\gamma_m`, and the helix
        goes on for :math:`\pi + 2\gamma_m` beyond both ends of the volume.

        Args:
            grid: The volume; its cylinder must fit between source and axis.
            views_per_turn: Views in 2 pi.
            pitch: Climb in z per turn in mm, not 0.
            source_to_axis: In mm.
            source_to_detector: In mm.
            start: Angle of the first view in radians.

        Raises:
            ValueError: If there is no view, the pitch is 0, or the source would pass through the
                volume.
        """
        check_cylinder(source_to_axis, grid)
        if views_per_turn < 1 or not 0 < abs(pitch) < math.inf:
            raise ValueError(
                f"expected views_per_turn >= 1 and a pitch other than 0, got {views_per_turn} "
                f"and {pitch}"
            )
        fan = math.asin(grid.radius / source_to_axis)
        magnification = source_to_detector / source_to_axis
        window = abs(pitch) * magnification / math.pi
        height = window * (math.pi / 2 + fan) / math.cos(fan) ** 2
        turns = grid.height / abs(pitch) + (math.pi + 2 * fan) / math.pi
        num_views = math.ceil(turns * views_per_turn) + 1
        arc = num_views * 2 * math.pi / views_per_turn
        angles = equal_angles(num_views, arc, start)
        circle = cls._over(grid, angles, height, source_to_axis, source_to_detector)
        return dataclasses.replace(circle, pitch=pitch)

    @classmethod
    def _over(
        cls,
        grid: VolumeGrid,
        angles: tuple[float, ...],
        height: float,
        source_to_axis: float,
        source_to_detector: float,
    ) -> ConeGeometry:
        """Views with a detector of that height, wide enough, and as fine as the voxels."""
        dv, *in_plane = (p * source_to_detector / source_to_axis for p in grid.voxel_size)
        half_width = source_to_detector * math.tan(math.asin(grid.radius / source_to_axis))
        shape = math.ceil(height / dv), math.ceil(2 * half_width / min(in_plane))
        return cls(
            angles,
            shape,
            (dv, min(in_plane)),
            source_to_axis=source_to_axis,
            source_to_detector=source_to_detector,
        )


def check_cylinder(source_to_axis: float, grid: VolumeGrid) -> None:
    """Refuse a source that turns within the cylinder about the volume, with a ValueError."""
    if not source_to_axis > grid.radius:
        raise ValueError(
            f"the source is {source_to_axis} mm from the axis, inside the volume, which reaches "
            f"{grid.radius:g} mm"
        )
