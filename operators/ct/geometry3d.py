"""Three-dimensional scans with parallel rays, or with a vector for every view."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from operators.ct.detector import equal_angles
from operators.ct.panel import FlatPanel
from operators.ct.volume import ScanVectors

if TYPE_CHECKING:
    from operators.ct.volume import VolumeGrid


@dataclass(frozen=True)
class ParallelGeometry3D(FlatPanel):
    """Parallel rays across z: at angle t the detector's rows lie along (cos t, sin t, 0).

    Without tilt, every slice is seen as a 2D :class:`~operators.ct.geometry.ParallelGeometry`
    sees it.

    Args:
        angles: View angles in radians.
        detector_shape: (rows, columns); row 0 is the lowest in z.
        detector_spacing: Pitch from row to row and from column to column in mm.
        detector_offset: Shift of the detector's centre along its columns (up) and along its rows
            (across) in mm, in the order of the shape.
        detector_tilt: Turn of the detector about its normal in radians, counter-clockwise as seen
            from where the rays come.

    Raises:
        ValueError: If there is no view or element, or a number is not finite or not positive.
    """

    def vectors(self) -> ScanVectors:
        """Return the scan as the vectors that projectors read."""
        forward = self._forward()
        panel = self._panel(np.zeros_like(forward))
        return ScanVectors("parallel", forward, **panel, detector_shape=self.detector_shape)

    @classmethod
    def covering(
        cls, grid: VolumeGrid, num_views: int, arc: float = math.pi, *, start: float = 0.0
    ) -> ParallelGeometry3D:
        """Equally spaced views over an arc, with a detector as fine as the voxels.

        Args:
            grid: The volume, all of which is seen.
            num_views: Views, the last one step short of ``start + arc``.
            arc: Angular range in radians; less than pi is limited-angle CT.
            start: Angle of the first view in radians.

        Raises:
            ValueError: If there is no view.
        """
        rows, (dz, *in_plane) = grid.shape[0], grid.voxel_size
        columns = math.ceil(2 * grid.radius / min(in_plane))
        angles = equal_angles(num_views, arc, start)
        return cls(angles, (rows, columns), (dz, min(in_plane)))


@dataclass(frozen=True, eq=False)
class VectorGeometry3D:
    """A scan that follows no simple path: the vectors themselves.

    Args:
        scan: Emitter and detector of every view.
    """

    scan: ScanVectors

    @property
    def shape(self) -> tuple[int, int, int]:
        """(views, detector rows, detector columns)."""
        return self.scan.shape

    def vectors(self) -> ScanVectors:
        """Return the scan as the vectors that projectors read."""
        return self.scan
