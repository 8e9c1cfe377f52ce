"""Matrix-free projection of images on the GPU: exact intersection lengths and their transpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
from torch import Tensor

from operators.ct.launch import (
    both_orientations,
    check_tensor,
    grouped,
    interpreting,
    launch,
    scaled_by_lengths,
    ungrouped,
)
from operators.ct.plane_kernels import backproject_plane, project_plane

if TYPE_CHECKING:
    from operators.ct.frames import RayFrames
    from operators.ct.geometry import ImageGrid


def project(x: Tensor, grid: ImageGrid, frames: RayFrames, shape: tuple[int, int]) -> Tensor:
    """Integrate images along rays, with the exact length of each ray in each pixel.

    The weights are those of :mod:`operators.ct.intersections`, computed anew for every ray.

    Args:
        x: (batch, rows, columns) in 1/mm; float32 or float64 on a CUDA device, or on the CPU where
            triton is interpreting (TRITON_INTERPRET=1).
        grid: Shape and pixel size.
        frames: The rays, in the dtype and on the device of x.
        shape: (views, detector elements).

    Returns:
        (batch, views, detector elements).

    Raises:
        ValueError: If x is not such a tensor.
    """
    check_tensor("project", x, grid.shape)
    images = both_orientations(x)
    _, groups, *_, width = images.shape
    views, columns = shape
    y = x.new_empty(groups, views, 1, columns, width)
    launch(
        project_plane, images, y, frames, (views, *grid.shape, columns),
        lambda block, batches: (
            triton.cdiv(columns, block["BLOCK_C"]),
            triton.cdiv(len(frames.views), block["BLOCK_V"]),
            batches,
        ),
        _ray_blocks(width),
    )  # fmt: skip
    return ungrouped(scaled_by_lengths(y, frames, out=y), len(x)).squeeze(2)


def backproject(y: Tensor, grid: ImageGrid, frames: RayFrames, shape: tuple[int, int]) -> Tensor:
    """Apply the transpose of :func:`project`, with the same weights to the last bit.

    Every pixel gathers from the rays in its shadow on the detector: no atomics, and the same bits
    in every run.

    Args:
        y: (batch, views, detector elements); dtype and device as for project.
        grid: Shape and pixel size.
        frames: As for project.
        shape: (views, detector elements).

    Returns:
        (batch, rows, columns).

    Raises:
        ValueError: If y is not such a tensor.
    """
    check_tensor("backproject", y, shape)
    rays = grouped(y).unsqueeze(2)
    # a batch of one shares its memory with y, which is the caller's
    rays = scaled_by_lengths(rays, frames, out=rays.new_empty(rays.shape))
    x = y.new_empty(len(rays), *grid.shape, rays.shape[-1])
    rows, columns = grid.shape
    launch(
        backproject_plane, rays, x, frames, (shape[0], *grid.shape, shape[1]),
        lambda block, batches: (
            triton.cdiv(rows, block["BLOCK_I"]) * triton.cdiv(columns, block["BLOCK_J"]),
            batches,
        ),
        _pixel_blocks(rays.shape[-1]),
    )  # fmt: skip
    return ungrouped(x, len(y))


def _ray_blocks(width: int) -> tuple[tuple[dict[str, int], int], ...]:
    """Tiles of neighbouring rays and views, which meet the same pixels, and warps."""
    if interpreting():  # one large tile: it pays for operations, not for elements
        return (({"BLOCK_V": 8, "BLOCK_C": 16}, 4),)
    shapes = [(1, 64, 2), (2, 32, 2), (1, 32, 1), (4, 32, 4), (1, 128, 4)]
    if width > 1:
        shapes = [(1, 64, 4), (2, 32, 4), (4, 16, 4), (1, 32, 2), (2, 16, 2), (8, 16, 8)]
    return tuple(({"BLOCK_V": v, "BLOCK_C": c}, w) for v, c, w in shapes)


def _pixel_blocks(width: int) -> tuple[tuple[dict[str, int], int], ...]:
    """Square tiles, whose shadow on the detector is short from every side, and warps."""
    if interpreting():
        return (({"BLOCK_I": 8, "BLOCK_J": 8}, 4),)
    shapes = [(8, 8, 2), (4, 8, 1), (8, 16, 4), (4, 32, 4), (16, 16, 4)]
    if width > 1:
        shapes = [(8, 8, 4), (4, 8, 2), (8, 16, 8), (8, 8, 2), (4, 16, 4)]
    return tuple(({"BLOCK_I": i, "BLOCK_J": j}, w) for i, j, w in shapes)
