"""Matrix-free projection of volumes on the GPU: Joseph's model and its exact transpose."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import triton
from torch import Tensor

from operators.ct.frames import RayFrames, ray_frames
from operators.ct.launch import (
    batch_block,
    batch_last,
    both_orientations,
    check_tensor,
    interpreting,
    launch,
    offsets,
    scaled_by_lengths,
)
from operators.ct.volume_kernels import backproject_volume, project_volume

if TYPE_CHECKING:
    from operators.ct.volume import ScanVectors, VolumeGrid


def project(x: Tensor, grid: VolumeGrid, scan: ScanVectors) -> Tensor:
    r"""Integrate volumes along rays by the model of :cite:t:`joseph1982`.

    .. math:: (A x)_r = \ell_r \sum_n \sum_{j, k}
       \Lambda(h_b(n) - j) \, \Lambda(h_c(n) - k) \, x_{n, j, k},
       \quad \Lambda(t) = \max(1 - |t|, 0)

    where n runs over the planes of voxel centres across the ray's main axis, the axis along which
    it passes most voxels (of equals x, then y), h are the ray's crossings with plane n in voxels,
    and l its length from plane to plane in mm. Outside the volume x is zero.

    Args:
        x: (batch, slices, rows, columns) in 1/mm; float32 or float64 on a CUDA device, or on the
            CPU where triton is interpreting (TRITON_INTERPRET=1).
        grid: Shape and voxel size.
        scan: Where source and detector are.

    Returns:
        (batch, views, detector rows, detector columns).

    Raises:
        ValueError: If x is not such a tensor, or a source is inside or beside the volume so that
            rays run backwards.
    """
    check_tensor("project", x, grid.shape)
    frames = _frames(grid, scan).like(x)
    volume, transposed = both_orientations(x)
    y = x.new_empty(*scan.shape, len(x))
    _, rows, columns = scan.shape
    block = batch_block(len(x))
    count = len(frames.views)
    launch(
        project_volume,
        lambda meta: (
            triton.cdiv(rows, meta["BLOCK_R"]) * triton.cdiv(columns, meta["BLOCK_C"]),
            triton.cdiv(count, meta["BLOCK_V"]),
            triton.cdiv(len(x), block),
        ),
        (volume, y, frames.values, frames.views, frames.axes, count, *grid.shape, rows, columns)
        + (len(x),),
        {"TRANSPOSED": transposed, "OFFSET": offsets(volume, y), "BLOCK_B": block},
        _ray_blocks(block),
        ("K", "I", "J", "R", "C", "B"),
    )
    return scaled_by_lengths(y, frames, out=y).movedim(-1, 0)


def backproject(y: Tensor, grid: VolumeGrid, scan: ScanVectors) -> Tensor:
    """Apply the transpose of :func:`project`, with the same weights to the last bit.

    Every voxel gathers from the rays in its shadow on the detector, so that nothing is added
    atomically and the result does not depend on the order of execution.

    Args:
        y: (batch, views, detector rows, detector columns); dtype and device as for project.
        grid: Shape and voxel size.
        scan: Where source and detector are.

    Returns:
        (batch, slices, rows, columns).

    Raises:
        ValueError: As for project.
    """
    check_tensor("backproject", y, scan.shape)
    frames = _frames(grid, scan).like(y)
    rays = batch_last(y)
    # a batch of one shares its memory with y, which is the caller's
    rays = scaled_by_lengths(rays, frames, out=rays.new_empty(rays.shape))
    x = y.new_empty(*grid.shape, len(y))
    slices, height, width = grid.shape
    block = batch_block(len(y))
    launch(
        backproject_volume,
        lambda meta: (
            triton.cdiv(slices, meta["BLOCK_K"])
            * triton.cdiv(height, meta["BLOCK_I"])
            * triton.cdiv(width, meta["BLOCK_J"]),
            triton.cdiv(len(y), block),
        ),
        (rays, x, frames.values, frames.views, frames.axes, len(frames.views), *grid.shape)
        + (*scan.detector_shape, len(y)),
        {"ALIGNED": frames.aligned, "OFFSET": offsets(x, rays), "BLOCK_B": block},
        _voxel_blocks(block),
        ("K", "I", "J", "R", "C", "B"),
    )
    return x.movedim(-1, 0)


@functools.lru_cache(maxsize=8)  # a scan is compared by identity, as it cannot change
def _frames(grid: VolumeGrid, scan: ScanVectors) -> RayFrames:
    return ray_frames(grid, scan, reach=1.0)


def _ray_blocks(batch: int) -> list[dict[str, int]]:
    """Tiles of about 128 rays for one volume, and fewer for a batch: registers hold all sums."""
    if interpreting():
        shapes = [(8, 8, 8)]
    elif batch < 8:
        shapes = [(1, 4, 32), (1, 8, 16), (1, 2, 64), (1, 8, 32), (2, 4, 16)]
    else:
        shapes = [(1, 2, 8), (1, 4, 8), (1, 4, 16), (2, 2, 8)]
    return [{"BLOCK_V": v, "BLOCK_R": r, "BLOCK_C": c} for v, r, c in shapes]


def _voxel_blocks(batch: int) -> list[dict[str, int]]:
    """Tiles of neighbouring voxels, whose shadows overlap."""
    if interpreting():
        shapes = [(8, 8, 8)]
    elif batch < 8:
        shapes = [(2, 4, 32), (4, 4, 16), (1, 8, 32), (8, 4, 8), (1, 1, 128)]
    else:
        shapes = [(2, 2, 4), (2, 4, 4), (4, 4, 4), (1, 4, 8)]
    return [{"BLOCK_K": k, "BLOCK_I": i, "BLOCK_J": j} for k, i, j in shapes]
