"""Interpolate slices onto another grid, and bring a result back onto the grid it came from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from invdiff.data.image import Image

__all__ = ["fill", "onto", "to_spacing"]

# how far two planes may part, in pixels or slices, and still be one: headers hold decimal text
_SAME_PLACE = 1e-2
# a pixel on the very edge of the field is inside in spite of rounding
_EDGE = 1e-6


def fill(image: Image, size: int) -> Image:
    """Resample the whole field of view to size x size pixels.

    The field keeps its extent, so pixels become oblong where it isn't square, and the affine says
    so. Enlarging is linear; shrinking weights with a tent as wide as two new pixels, which is the
    anti-aliasing. Both are ``torch.nn.functional.interpolate(mode="bilinear",
    align_corners=False, antialias=True)``.

    Raises:
        ValueError: The size is not positive.
    """
    _check_size("fill", size)
    rows, cols = image.values.shape[1:]
    over_rows = _tent_weights(rows, rows / size, size)
    over_cols = _tent_weights(cols, cols / size, size)
    values = over_rows @ image.values.astype(np.float64) @ over_cols.T
    step = _step((cols, rows), (cols / size, rows / size), (size, size))
    return _placed(image, values, step)


def to_spacing(image: Image, size: int, pixel_mm: float) -> Image:
    """Resample to square pixels of a given size, then crop or pad to size x size.

    The interpolation is that of ``fill``. The centre of the field stays the centre, to half a
    pixel where the numbers of pixels differ by an odd one. Outside the field lies
    ``image.padding``.

    Args:
        image: Slices with any pixels.
        size: Rows and columns of the result.
        pixel_mm: Edge of its pixels in mm.

    Raises:
        ValueError: The size or the pixel is not positive.
    """
    _check_size("to_spacing", size)
    if not 0 < pixel_mm < math.inf:
        raise ValueError(f"to_spacing: expected a positive pixel in mm, got {pixel_mm}")
    lengths = image.values.shape[1:]
    factors = [pixel_mm / mm for mm in image.spacing[1:]]
    counts = [max(round(n / f), 1) for n, f in zip(lengths, factors, strict=True)]
    over_rows, over_cols = map(_tent_weights, lengths, factors, counts)
    values = over_rows @ image.values.astype(np.float64) @ over_cols.T
    step = _step(lengths[::-1], factors[::-1], counts[::-1])
    for axis in (1, 2):
        values, start = _centred(values, axis, size, image.padding)
        # column 2 - axis of the step counts columns first
        step[:, 3] += start * step[:, 2 - axis]
    return _placed(image, values, step)


def onto(image: Image, target: Image) -> Image:
    """Bring an image back onto the grid of another, such as a result onto that of its input.

    In-plane interpolation is linear, through both affines, so turned and mirrored slices are
    found too; pixels outside the field of ``image`` get its padding.

    Args:
        image: What is interpolated.
        target: Whose grid, headers and source the result has.

    Raises:
        ValueError: The two don't have the same slices in the same planes.
    """
    if image.num_slices != target.num_slices:
        raise ValueError(f"onto: expected {target.num_slices} slices, got {image.num_slices}")
    # from an index (col, row, slice, 1) of the target to one of the image
    index_map = np.linalg.inv(image.affine) @ target.affine
    _check_planes(index_map, target)
    row, col = np.indices(target.values.shape[1:])
    u, v = (index_map[k, 0] * col + index_map[k, 1] * row + index_map[k, 3] for k in (0, 1))
    values = _bilinear(image.values, v, u, image.padding).astype(np.float32)
    return dataclasses.replace(target, values=values, modality=image.modality, unit=image.unit)


def _check_size(name: str, size: int) -> None:
    if size < 1:
        raise ValueError(f"{name}: expected a size of 1 or more, got {size}")


def _tent_weights(length: int, factor: float, count: int) -> NDArray[np.float64]:
    """Weights of old pixels in ``count`` new ones of ``factor`` old ones, shape (count, length)."""
    centres = length / 2 + factor * (np.arange(count) + 0.5 - count / 2)
    distance = np.abs(np.arange(length) + 0.5 - centres[:, None])
    weights = np.maximum(1 - distance / max(factor, 1), 0)
    return weights / weights.sum(axis=1, keepdims=True)


def _step(
    lengths: Sequence[int], factors: Sequence[float], counts: Sequence[int]
) -> NDArray[np.float64]:
    """Old index of a new one, both (col, row, slice, 1): fields have one centre."""
    step = np.diag([*factors, 1.0, 1.0])
    for k, (length, factor, count) in enumerate(zip(lengths, factors, counts, strict=True)):
        step[k, 3] = (length - 1) / 2 - factor * (count - 1) / 2
    return step


def _centred(
    values: NDArray[np.float64], axis: int, size: int, padding: float
) -> tuple[NDArray[np.float64], int]:
    """Crop or pad an axis to size; also the old index of the new pixel 0."""
    before = (size - values.shape[axis]) // 2
    after = size - values.shape[axis] - before
    pads = [(0, 0)] * values.ndim
    pads[axis] = (max(before, 0), max(after, 0))
    padded = np.pad(values, pads, constant_values=padding)
    return np.take(padded, np.arange(size) + max(-before, 0), axis=axis), -before


def _placed(image: Image, values: NDArray[np.float64], step: NDArray[np.float64]) -> Image:
    affine = image.affine @ step
    return dataclasses.replace(image, values=values.astype(np.float32), affine=affine)


def _check_planes(index_map: NDArray[np.float64], target: Image) -> None:
    rows, cols = target.values.shape[1:]
    off_plane = abs(index_map[2, 0]) * cols + abs(index_map[2, 1]) * rows + abs(index_map[2, 3])
    # how the slices drift apart, and slide within their planes, from first to last
    drift = np.abs(index_map[:3, 2] - (0, 0, 1)).max() * (target.num_slices - 1)
    if max(off_plane, drift) > _SAME_PLACE:
        raise ValueError(
            "onto: the slices do not lie in the planes of the target: they are up to "
            f"{max(off_plane, drift):.3g} slices or pixels apart"
        )


def _bilinear(
    values: NDArray[np.float32], row: NDArray[np.float64], col: NDArray[np.float64], padding: float
) -> NDArray[np.float64]:
    """Values at real indices, those past the outer centres clamped, past the field padding."""
    inside = np.ones(row.shape, bool)
    lows, highs, shares = [], [], []
    for index, length in ((row, values.shape[1]), (col, values.shape[2])):
        inside &= (index >= -0.5 - _EDGE) & (index <= length - 0.5 + _EDGE)
        clamped = np.clip(index, 0, length - 1)
        lows.append(np.floor(clamped).astype(np.intp))
        highs.append(np.minimum(lows[-1] + 1, length - 1))
        shares.append(clamped - lows[-1])
    by_col = [
        values[:, r, lows[1]] * (1 - shares[1]) + values[:, r, highs[1]] * shares[1]
        for r in (lows[0], highs[0])
    ]
    mixed = by_col[0] * (1 - shares[0]) + by_col[1] * shares[0]
    return np.where(inside, mixed, padding)
