"""The lengths that rays travel inside pixels, as one sparse matrix."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from operators.ct.geometry import Array, ImageGrid

_RAYS_PER_BLOCK = 1024  # bounds the temporary arrays of the assembly to tens of MB


def intersection_matrix(points: Array, directions: Array, grid: ImageGrid) -> sp.csr_matrix:
    """Return the exact lengths of intersection of rays with pixels, in mm.

    A ray that runs mainly along x crosses each pixel column between two heights less than one
    pixel apart, so it meets at most two pixels there; the crossing of the row border between
    them splits its length. No sorting is needed, unlike in :cite:t:`siddon1985`.

    Args:
        points: One point on every ray in mm, shape (rays, 2), as (x, y).
        directions: Unit directions, shape (rays, 2).
        grid: The pixels.

    Returns:
        CSR matrix (rays, rows * columns) in float32, row-major pixels.
    """
    # A ray meets fewer pixels than the grid has rows and columns. Filled in place, as joining the
    # blocks would hold the matrix twice; what is never written takes no memory.
    bound = len(points) * sum(grid.shape)
    pixel, length = np.empty(bound, np.int32), np.empty(bound, np.float32)
    start = np.zeros(len(points) + 1, np.int64)
    for first in range(0, len(points), _RAYS_PER_BLOCK):
        rays = slice(first, first + _RAYS_PER_BLOCK)
        part = _block(points[rays], directions[rays], grid)
        begin = start[first]
        start[first + 1 : first + 1 + part.shape[0]] = begin + part.indptr[1:]
        pixel[begin : begin + part.nnz] = part.indices
        length[begin : begin + part.nnz] = part.data
    for entries in (pixel, length):
        entries.resize(start[-1], refcheck=False)
    shape = (len(points), math.prod(grid.shape))
    return sp.csr_matrix((length, pixel, start), shape=shape)


def _block(points: Array, directions: Array, grid: ImageGrid) -> sp.csr_matrix:
    # In index units, pixel (i, j) is the unit square with corner (j, i); mm per unit is kept.
    scale = np.array([1 / grid.pixel_size[1], -1 / grid.pixel_size[0]])
    centre = np.array([grid.shape[1] / 2, grid.shape[0] / 2])
    origin, step = points * scale + centre, directions * scale
    steep = np.abs(step[:, 1]) > np.abs(step[:, 0])
    columns, rows = grid.shape[1], grid.shape[0]
    flat = _crossings(origin[~steep], step[~steep], columns, rows)
    tall = _crossings(origin[steep][:, ::-1], step[steep][:, ::-1], rows, columns)
    ray = np.concatenate([np.flatnonzero(~steep)[flat[0]], np.flatnonzero(steep)[tall[0]]])
    pixel = np.concatenate([flat[2] * columns + flat[1], tall[1] * columns + tall[2]])
    length = np.concatenate([flat[3], tall[3]]).astype(np.float32)
    matrix = sp.coo_matrix((length, (ray, pixel)), shape=(len(points), rows * columns))
    return matrix.tocsr()


def _crossings(
    origin: Array, step: Array, num_main: int, num_cross: int
) -> tuple[Array, Array, Array, Array]:
    """Return (ray, main index, cross index, length) for rays that run along the main axis."""
    slope = (step[:, 1] / step[:, 0])[:, None]
    edges = np.arange(num_main + 1)[None, :]
    height = origin[:, 1:2] + (edges - origin[:, 0:1]) * slope
    low, high = np.minimum(height[:, :-1], height[:, 1:]), np.maximum(height[:, :-1], height[:, 1:])
    per_cell = 1 / np.abs(step[:, 0:1])  # mm along the ray while it crosses one main cell
    first = np.floor(low)
    # rounding can carry a diagonal ray over two borders, as from 0.9999 to 2.0
    last = np.minimum(np.floor(high), first + 1)
    # share of the cell spent below the border; a ray along the border has high == low
    rise = np.where(last > first, high - low, 1.0)
    share = np.where(last > first, (last - low) / rise, 1.0)
    entries = [(first, share), (last, 1 - share)]
    found = []
    for cross, part in entries:
        inside = (cross >= 0) & (cross < num_cross) & (part > 0)
        ray, main = np.nonzero(inside)
        length = (part * per_cell)[inside]
        found.append((ray, main, cross[inside].astype(np.int64), length))
    ray, main, cross, length = (np.concatenate(column) for column in zip(*found, strict=True))
    return ray, main, cross, length
