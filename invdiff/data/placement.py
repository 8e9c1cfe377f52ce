"""Change the grid of an image and keep every structure at its world coordinates."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from invdiff.data.image import Image

__all__ = ["fit", "orient"]

# Directions in RAS of (columns, rows) as radiologists view a plane, by the plane's normal:
# sagittal: left to back, top to feet; coronal: to the left, to feet; axial: to the left, to back.
_DISPLAY = {
    0: ((0, -1, 0), (0, 0, -1)),
    1: ((-1, 0, 0), (0, 0, -1)),
    2: ((-1, 0, 0), (0, -1, 0)),
}
# spacings closer than this (relative) are one spacing: headers hold them as decimal text
_SAME_SPACING = 1e-4


def orient(image: Image) -> Image:
    """Turn slices to the radiological view: anterior (or head) up, patient right on the left.

    Rows and columns are only swapped and reversed, so no value changes; the order of the slices
    stays. A sagittal slice gets the head up and anterior on the left.
    """
    directions = image.affine[:3, :3] / np.linalg.norm(image.affine[:3, :3], axis=0)
    normal = int(np.argmax(np.abs(np.cross(directions[:, 0], directions[:, 1]))))
    # alignment[i, j]: cosine between the wanted direction i and the axis j, both (col, row)
    alignment = np.asarray(_DISPLAY[normal]) @ directions[:, :2]
    straight = abs(alignment[0, 0]) + abs(alignment[1, 1])
    crossed = abs(alignment[0, 1]) + abs(alignment[1, 0])
    values, step = image.values, np.eye(4)
    if crossed > straight:
        values, step = values.swapaxes(1, 2), step[:, [1, 0, 2, 3]]
        alignment = alignment[:, ::-1]
    if alignment[0, 0] < 0:
        values, step = values[:, :, ::-1], step @ _reversal(0, values.shape[2])
    if alignment[1, 1] < 0:
        values, step = values[:, ::-1, :], step @ _reversal(1, values.shape[1])
    values = np.ascontiguousarray(values)
    return dataclasses.replace(image, values=values, affine=image.affine @ step)


def fit(image: Image, size: int) -> Image:
    """Bring every slice to size x size with square pixels; the field of view keeps its centre.

    A slice that is small enough is padded and keeps its pixels untouched. One that is too large,
    or whose pixels aren't square, is resampled by area averaging (each new pixel is the mean over
    its area, which is the anti-aliasing) to the smallest square pixel that is no smaller than the
    present ones. Outside the old field lies ``image.padding``.

    Raises:
        ValueError: The size is not positive.
    """
    if size < 1:
        raise ValueError(f"fit: expected a size of 1 or more, got {size}")
    rows, cols = image.values.shape[1:]
    _, row_mm, col_mm = image.spacing
    pixel = max(row_mm, col_mm, rows * row_mm / size, cols * col_mm / size)
    row_start, row_factor = _new_axis(rows, size, pixel / row_mm)
    col_start, col_factor = _new_axis(cols, size, pixel / col_mm)
    over_rows = _area_weights(rows, size, row_start, row_factor)
    over_cols = _area_weights(cols, size, col_start, col_factor)
    # the share of each new pixel that the old field does not cover is padding
    covered = np.outer(over_rows.sum(axis=1), over_cols.sum(axis=1))
    values = over_rows @ image.values.astype(np.float64) @ over_cols.T
    values += image.padding * (1 - covered)
    step = np.diag([col_factor, row_factor, 1.0, 1.0])
    # voxel centres: new pixel 0 is centred half a new pixel after the start of the field
    step[0, 3] = col_start + (col_factor - 1) / 2
    step[1, 3] = row_start + (row_factor - 1) / 2
    affine = image.affine @ step
    return dataclasses.replace(image, values=values.astype(np.float32), affine=affine)


def _reversal(axis: int, length: int) -> NDArray[np.float64]:
    step = np.eye(4)
    step[axis, axis] = -1
    step[axis, 3] = length - 1
    return step


def _new_axis(length: int, size: int, factor: float) -> tuple[float, float]:
    """Start of the new field in old pixels, and the old pixels that make one new pixel."""
    if abs(factor - 1) < _SAME_SPACING:
        # whole pixels of padding: the old values are kept exactly
        return float(-((size - length) // 2)), 1.0
    return (length - size * factor) / 2, factor


def _area_weights(length: int, size: int, start: float, factor: float) -> NDArray[np.float64]:
    """Share of old pixel j in new pixel i, shape (size, length); rows inside the field sum to 1."""
    edges = start + factor * np.arange(size + 1)
    old = np.arange(length)
    lower = np.maximum(edges[:-1, None], old)
    upper = np.minimum(edges[1:, None], old + 1)
    return np.maximum(upper - lower, 0) / factor
