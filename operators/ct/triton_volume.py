"""Matrix-free projection of volumes on the GPU: Joseph's model and its exact transpose."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch
import triton
from torch import Tensor

from operators.ct.frames import RayFrames, ray_frames
from operators.ct.launch import (
    both_orientations,
    check_tensor,
    grouped,
    interpreting,
    launch,
    scaled_by_lengths,
    ungrouped,
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
    and l its length from plane to plane in mm. Outside the volume x is zero. Autograd does not
    record the call; the derivative is :func:`backproject`.

    Args:
        x: (batch, slices, rows, columns) in 1/mm; float32 or float64 on a CUDA device, or on the
            CPU where triton is interpreting (TRITON_INTERPRET=1).
        grid: Shape and voxel size.
        scan: Where source and detector are; its arrays must not change after the first call.

    Returns:
        (batch, views, detector rows, detector columns).

    Raises:
        ValueError: If x is not such a tensor, or a source is inside or beside the volume so that
            rays run backwards.
    """
    check_tensor("project", x, grid.shape)
    frames = _frames(grid, scan, x.dtype, x.device)
    volumes = both_orientations(x)
    _, groups, *_, width = volumes.shape
    y = x.new_empty(groups, *scan.shape, width)
    views, rows, columns = scan.shape
    launch(
        project_volume, volumes, y, frames, (views, *grid.shape, rows, columns),
        lambda block, batches: (
            triton.cdiv(rows, block["BLOCK_R"]) * triton.cdiv(columns, block["BLOCK_C"]),
            triton.cdiv(len(frames.views), block["BLOCK_V"]),
            batches,
        ),
        _ray_blocks(width),
    )  # fmt: skip
    return ungrouped(scaled_by_lengths(y, frames, out=y), len(x))


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
    frames = _frames(grid, scan, y.dtype, y.device)
    rays = grouped(y)
    # a batch of one shares its memory with y, which is the caller's
    rays = scaled_by_lengths(rays, frames, out=rays.new_empty(rays.shape))
    x = y.new_empty(len(rays), *grid.shape, rays.shape[-1])
    slices, rows, columns = grid.shape
    launch(
        backproject_volume, rays, x, frames, (len(scan.emitter), *grid.shape, *scan.detector_shape),
        lambda block, batches: (
            triton.cdiv(slices, block["BLOCK_K"])
            * triton.cdiv(rows, block["BLOCK_I"])
            * triton.cdiv(columns, block["BLOCK_J"]),
            batches,
        ),
        _voxel_blocks(rays.shape[-1], frames.aligned),
        ALIGNED=frames.aligned,
    )  # fmt: skip
    return ungrouped(x, len(y))


@functools.lru_cache(maxsize=8)  # a scan is compared by identity
def _frames(
    grid: VolumeGrid, scan: ScanVectors, dtype: torch.dtype, device: torch.device
) -> RayFrames:
    return ray_frames(grid, scan, reach=1.0).to(dtype, device)


def _ray_blocks(width: int) -> tuple[tuple[dict[str, int], int], ...]:
    """Tiles of neighbouring rays, and warps: a ray for every thread, or two threads for a ray."""
    if interpreting():  # one large tile: it pays for operations, not for elements
        return (({"BLOCK_V": 8, "BLOCK_R": 8, "BLOCK_C": 8}, 4),)
    shapes = [(1, 4, 32, 4), (1, 8, 16, 4), (1, 2, 64, 4), (1, 8, 32, 8), (1, 2, 32, 2)]
    if width > 1:
        shapes = [(1, 4, 16, 4), (1, 8, 8, 4), (1, 2, 16, 2), (1, 8, 16, 8), (2, 4, 8, 4)]
    return tuple(({"BLOCK_V": v, "BLOCK_R": r, "BLOCK_C": c}, w) for v, r, c, w in shapes)


def _voxel_blocks(width: int, aligned: bool) -> tuple[tuple[dict[str, int], int], ...]:
    """Tiles of neighbouring voxels, whose shadows overlap; a thread takes BLOCK_K of a pixel.

    Only an aligned scan saves work by many slices; else registers would run out.
    """
    if interpreting():
        return (({"BLOCK_K": 8, "BLOCK_I": 8, "BLOCK_J": 8}, 4),)
    if width == 1:
        deep = [(8, 4, 32, 4), (8, 8, 16, 4), (16, 4, 32, 4), (8, 2, 32, 2)]
        flat = [(4, 8, 16, 4), (2, 8, 16, 4), (2, 4, 32, 4), (1, 8, 32, 8)]
    else:
        deep = [(4, 8, 8, 4), (4, 4, 16, 4), (8, 4, 8, 2), (4, 4, 8, 2)]
        flat = [(2, 8, 8, 4), (2, 4, 16, 4), (1, 8, 16, 8), (1, 8, 8, 4)]
    shapes = [*deep, flat[0]] if aligned else flat
    return tuple(({"BLOCK_K": k, "BLOCK_I": i, "BLOCK_J": j}, w) for k, i, j, w in shapes)
