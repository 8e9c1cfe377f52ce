"""Joseph's interpolation along rays through a volume, compiled for processors.

Importing this module imports numba; :mod:`operators.ct.volume_projector` does so on first use. The
compiled code is kept beside this file, or where the environment variable ``NUMBA_CACHE_DIR`` says.
Positions are in index units: (slice, row, column), with voxel centres at whole numbers.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from operators.ct.volume import ScanVectors, VolumeGrid

Array = np.ndarray

_CHUNKS_PER_THREAD = 8  # detector rows differ in cost; small shares even that out
# Threads are Python's: numba's own break in forked processes, or when called from two threads.
# Strict floating point: rounding must be the same in both directions.
_compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


def index_rays(grid: VolumeGrid, scan: ScanVectors) -> Array:
    """Return emitter, first detector element, column step and row step in index units.

    Args:
        grid: The voxels.
        scan: The scan, in mm.

    Returns:
        float64 of shape (views, 4, 3), components in the order (slice, row, column).
    """
    dz, dy, dx = grid.voxel_size
    scale = np.array([1 / dz, -1 / dy, 1 / dx])
    middle = (np.array(grid.shape) - 1) / 2
    rows, columns = scan.detector_shape
    first = scan.centre - (columns - 1) / 2 * scan.u - (rows - 1) / 2 * scan.v
    emitter, first, u, v = (a[:, ::-1] * scale for a in (scan.emitter, first, scan.u, scan.v))
    if scan.kind == "cone":
        emitter = emitter + middle
    return np.ascontiguousarray(np.stack([emitter, first + middle, u, v], axis=1))


def project(x: Array, grid: VolumeGrid, scan: ScanVectors, threads: int) -> Array:
    """Return the line integrals of volumes.

    Args:
        x: float32 or float64, C-contiguous, shape (batch, slices, rows, columns).
        grid: The voxels.
        scan: The scan.
        threads: Threads at work; the result doesn't depend on it.

    Returns:
        Shape (batch, views, detector rows, detector columns), in the dtype of x.
    """
    y = np.empty((len(x), *scan.shape), x.dtype)
    rays, voxel = index_rays(grid, scan), np.array(grid.voxel_size)
    lines = len(x) * scan.shape[0] * scan.shape[1]
    bounds = np.linspace(0, lines, threads * _CHUNKS_PER_THREAD + 1).astype(int)

    def work(share: tuple[int, int]) -> None:
        _project_lines(x, y, rays, scan.kind == "cone", voxel, *share)

    _run(work, pairwise(bounds), threads)
    return y


def backproject(y: Array, grid: VolumeGrid, scan: ScanVectors, threads: int) -> Array:
    """Return the transpose of :func:`project` applied to y.

    Every thread owns a slab of a volume and takes the rays in the same order, so that neither
    races nor the number of threads can change a bit.

    Args:
        y: float32 or float64, C-contiguous, shape (batch, views, detector rows, columns).
        grid: The voxels.
        scan: The scan.
        threads: Threads at work; the result doesn't depend on it.

    Returns:
        Shape (batch, slices, rows, columns), in the dtype of y.
    """
    x = np.zeros((len(y), *grid.shape), y.dtype)
    rays, voxel = index_rays(grid, scan), np.array(grid.voxel_size)
    slabs = math.ceil(threads / max(len(y), 1))
    axis = 0 if grid.shape[0] >= slabs else 1
    cuts = np.linspace(0, grid.shape[axis], slabs + 1).astype(int)

    def work(share: tuple[int, int]) -> None:
        box = np.array([(0, n) for n in grid.shape])
        box[axis] = cuts[share[1] : share[1] + 2]
        _backproject_box(x[share[0]], y[share[0]], rays, scan.kind == "cone", voxel, box)

    _run(work, ((b, s) for b in range(len(y)) for s in range(slabs)), threads)
    return x


def _run(
    work: Callable[[tuple[int, int]], None], shares: Iterable[tuple[int, int]], threads: int
) -> None:
    if threads == 1:
        for share in shares:
            work(share)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, shares):  # raises what a thread raised
            pass


@_compiled
def _project_lines(x, y, rays, is_cone, voxel, first, last):
    views, rows, columns = y.shape[1:]
    box = np.zeros((3, 2), np.int64)
    for axis in range(3):
        box[axis, 1] = x.shape[axis + 1]
    for line in range(first, last):
        row, view, b = line % rows, line // rows % views, line // rows // views
        values, ray = x[b].reshape(-1), rays[view]
        for column in range(columns):
            path = _trace(ray, is_cone, voxel, box, x.shape[1:], row, column)
            y[b, view, row, column] = _integrate(values, path)


@_compiled
def _backproject_box(x, y, rays, is_cone, voxel, box):
    views, rows, columns = y.shape
    values = x.reshape(-1)
    for view in range(views):
        ray = rays[view]
        for row in range(rows):
            if not _meets(ray, is_cone, box, row):
                continue
            for column in range(columns):
                path = _trace(ray, is_cone, voxel, box, x.shape, row, column)
                _spread(values, path, float(y[view, row, column]))


@_compiled
def _meets(ray, is_cone, box, row):
    """Whether the plane that holds all rays of a detector row meets a box and its outer hats."""
    distance, reach = 0.0, 0.0
    for axis in range(3):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        d_i, d_j = ray[0, i], ray[0, j]
        if is_cone:
            d_i, d_j = ray[1, i] + row * ray[3, i] - d_i, ray[1, j] + row * ray[3, j] - d_j
        normal = ray[2, i] * d_j - ray[2, j] * d_i
        low, high = box[axis, 0] - 1, box[axis, 1]
        distance += normal * ((low + high) / 2 - ray[1, axis] - row * ray[3, axis])
        reach += abs(normal) * ((high - low) / 2 + 1e-6)  # voxels to spare for rounding
    return abs(distance) <= reach


@_compiled
def _trace(ray, is_cone, voxel, box, shape, row, column):
    """Return where a ray crosses the planes of a box.

    Returns:
        (planes, two axes): planes is (first, last, first and last with all four neighbours in the
        box, mm from plane to plane, stride), an axis (position at plane 0, slope, low, high,
        stride).
    """
    p0 = ray[1, 0] + column * ray[2, 0] + row * ray[3, 0]
    p1 = ray[1, 1] + column * ray[2, 1] + row * ray[3, 1]
    p2 = ray[1, 2] + column * ray[2, 2] + row * ray[3, 2]
    d0, d1, d2 = ray[0, 0], ray[0, 1], ray[0, 2]
    if is_cone:
        d0, d1, d2 = p0 - d0, p1 - d1, p2 - d2
    length = math.sqrt((d0 * voxel[0]) ** 2 + (d1 * voxel[1]) ** 2 + (d2 * voxel[2]) ** 2)
    slices = (p0, d0, box[0, 0], box[0, 1], shape[1] * shape[2])
    rows = (p1, d1, box[1, 0], box[1, 1], shape[2])
    columns = (p2, d2, box[2, 0], box[2, 1], 1)
    if abs(d2) >= abs(d1) and abs(d2) >= abs(d0):
        return _cross(columns, slices, rows, length)
    if abs(d1) >= abs(d0):
        return _cross(rows, slices, columns, length)
    return _cross(slices, rows, columns, length)


@_compiled
def _cross(main, b, c, length):
    origin, direction, low, high, stride = main
    slope_b, slope_c = b[1] / direction, c[1] / direction
    start_b, start_c = b[0] - origin * slope_b, c[0] - origin * slope_c
    first, last = _clip(start_b, slope_b, b[2] - 1, b[3], low, high)
    first, last = _clip(start_c, slope_c, c[2] - 1, c[3], first, last)
    inner = _clip(start_b, slope_b, b[2], b[3] - 1, first, last)
    inner = _clip(start_c, slope_c, c[2], c[3] - 1, inner[0], inner[1])
    planes = (first, last, inner[0], inner[1], length / abs(direction), stride)
    return planes, (start_b, slope_b, b[2], b[3], b[4]), (start_c, slope_c, c[2], c[3], c[4])


@_compiled
def _clip(start, slope, low, high, first, last):
    """Narrow planes [first, last) to those where low <= start + slope * plane < high.

    Rounding keeps the order of positions, so what holds at both ends holds between them.
    """
    if not first < last:
        return first, first
    if slope != 0.0:
        one, other = (low - start) / slope, (high - start) / slope
        # bounded before the conversion, as an integer can't hold every quotient; one plane more at
        # either end than exact arithmetic needs
        enter = min(max(min(one, other), float(first)), float(last))
        leave = min(max(max(one, other), float(first)), float(last))
        first, last = max(int(enter) - 1, first), min(int(leave) + 2, last)
    while first < last and not low <= start + slope * first < high:
        first += 1
    while first < last and not low <= start + slope * (last - 1) < high:
        last -= 1
    return first, last


@_compiled
def _integrate(x, path):
    (first, last, inner_first, inner_last, step, stride), b, c = path
    total = 0.0
    for plane in range(first, last):
        at_b, at_c = b[0] + plane * b[1], c[0] + plane * c[1]
        i, j = math.floor(at_b), math.floor(at_c)
        v, w = at_b - i, at_c - j
        at = plane * stride + i * b[4] + j * c[4]
        if inner_first <= plane < inner_last:
            near = x[at] + w * (x[at + c[4]] - x[at])
            far = x[at + b[4]] + w * (x[at + b[4] + c[4]] - x[at + b[4]])
            total += near + v * (far - near)
            continue
        for k, weight_b in ((0, 1 - v), (1, v)):
            for m, weight_c in ((0, 1 - w), (1, w)):
                if b[2] <= i + k < b[3] and c[2] <= j + m < c[3]:
                    total += weight_b * weight_c * x[at + k * b[4] + m * c[4]]
    return step * total


@_compiled
def _spread(x, path, value):
    (first, last, inner_first, inner_last, step, stride), b, c = path
    value *= step
    for plane in range(first, last):
        at_b, at_c = b[0] + plane * b[1], c[0] + plane * c[1]
        i, j = math.floor(at_b), math.floor(at_c)
        v, w = at_b - i, at_c - j
        at = plane * stride + i * b[4] + j * c[4]
        near, far = (1 - v) * value, v * value
        if inner_first <= plane < inner_last:
            x[at] += (1 - w) * near
            x[at + c[4]] += w * near
            x[at + b[4]] += (1 - w) * far
            x[at + b[4] + c[4]] += w * far
            continue
        for k, part in ((0, near), (1, far)):
            for m, weight in ((0, 1 - w), (1, w)):
                if b[2] <= i + k < b[3] and c[2] <= j + m < c[3]:
                    x[at + k * b[4] + m * c[4]] += weight * part
