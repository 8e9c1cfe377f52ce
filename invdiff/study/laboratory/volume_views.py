"""What the figures of a study of volumes are drawn from: planes and lines of its volumes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from invdiff.data import Image
from invdiff.study.laboratory.volume_scans import VolumeScan
from invdiff.study.scripted import Arrays
from invdiff.volumes.quality import body_of

__all__ = ["View"]


class View:
    """Three orthogonal planes through a structure, and the line along z through it.

    The planes are as radiologists view them: axial ones with anterior up, coronal and sagittal
    ones with the head up; the patient's right is on the left, and anterior in sagittal planes.

    Args:
        scan: Whose structure it is: where the truth within the body varies most along z, in the
            middle half of its rows and columns.
    """

    def __init__(self, scan: VolumeScan) -> None:
        image = scan.placed
        self.scan, self._head_first = scan, bool(image.affine[2, 2] < 0)
        self.slice = image.num_slices // 2
        self.row, self.column = _structure(scan)

    def of(self, values: NDArray[np.float32]) -> Arrays:
        """Return the planes and the line of a volume; lines run towards the head."""
        coronal, sagittal = values[:, self.row], values[:, :, self.column]
        line = values[:, self.row, self.column]
        if self._head_first:
            line = line[::-1]
        else:
            coronal, sagittal = coronal[::-1], sagittal[::-1]
        return {
            "axial": values[self.slice],
            "coronal": coronal,
            "sagittal": sagittal,
            "line": line,
        }

    def geometry(self) -> Arrays:
        """Return where planes and line are, and what their values mean."""
        image, units = self.scan.placed, self.scan.units
        return {
            "scan": np.asarray(self.scan.name),
            "spacing": np.asarray(image.spacing),
            "place": np.asarray((self.slice, self.row, self.column)),
            "z_mm": np.sort(_heights(image, self.row, self.column)),
            "window": np.asarray(units.window),
            "data_range": np.asarray(units.data_range),
            "unit": np.asarray(units.name),
        }


def _structure(scan: VolumeScan) -> tuple[int, int]:
    truth = scan.truth
    body = body_of(truth, (scan.units.low, scan.units.high)).numpy()
    rows, columns = (_middle(np.asarray(body.any(axis))) for axis in ((0, 2), (0, 1)))
    steps = np.abs(np.diff(truth.numpy().astype(np.float64), axis=0)).sum(0)
    # a line that leaves the body tells more of the skin than of what is within
    steps = np.where(body.all(0), steps, 0.0)[rows, columns]
    row, column = np.unravel_index(int(np.argmax(steps)), steps.shape)
    return rows.start + int(row), columns.start + int(column)


def _middle(present: NDArray[np.bool_]) -> slice:
    """Return the middle half of the range in which something is present; at least one place."""
    places = np.flatnonzero(present)
    first, last = int(places[0]), int(places[-1])
    quarter = (last - first) // 4
    return slice(first + quarter, last - quarter + 1)


def _heights(image: Image, row: int, column: int) -> NDArray[np.float64]:
    """Heights of a line's voxels along z in the patient, in mm."""
    index = np.arange(image.num_slices)
    heights: NDArray[np.float64] = image.affine[2, :3] @ np.stack(
        [np.full(index.shape, column), np.full(index.shape, row), index]
    )
    return heights + image.affine[2, 3]
