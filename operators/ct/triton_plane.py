"""Matrix-free projection of images on the GPU: exact intersection lengths and their transpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import triton
from torch import Tensor

from operators.ct.frames import RayFrames, ray_frames
from operators.ct.geometry import FanGeometry, ImageGrid, ParallelGeometry
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
from operators.ct.plane_kernels import backproject_plane, project_plane
from operators.ct.volume import ScanVectors, VolumeGrid

if TYPE_CHECKING:
    from operators.ct.geometry import Array


def plane_frames(grid: ImageGrid, geometry: ParallelGeometry | FanGeometry) -> RayFrames:
    """Return what the kernels read of a two-dimensional scan, in float64.

    Raises:
        ValueError: If the source would pass through the image.
    """
    volume = VolumeGrid((1, *grid.shape), (1.0, *grid.pixel_size))
    return ray_frames(volume, _slice_scan(geometry), reach=0.5)


def project(x: Tensor, grid: ImageGrid, frames: RayFrames, shape: tuple[int, int]) -> Tensor:
    """Integrate images along rays, with the exact length of each ray in each pixel.

    The weights are those of :mod:`operators.ct.intersections`, computed anew for every ray.

    Args:
        x: (batch, rows, columns) in 1/mm; float32 or float64 on a CUDA device, or on the CPU where
            triton is interpreting (TRITON_INTERPRET=1).
        grid: Shape and pixel size.
        frames: Those of :func:`plane_frames`, in the dtype and on the device of x.
        shape: (views, detector elements).

    Returns:
        (batch, views, detector elements).

    Raises:
        ValueError: If x is not such a tensor.
    """
    check_tensor("project", x, grid.shape)
    views, columns = shape
    image, transposed = both_orientations(x)
    y = x.new_empty(views, 1, columns, len(x))
    block, count = batch_block(len(x)), len(frames.views)
    launch(
        project_plane,
        lambda meta: (
            triton.cdiv(columns, meta["BLOCK_C"]),
            triton.cdiv(count, meta["BLOCK_V"]),
            triton.cdiv(len(x), block),
        ),
        (image, y, frames.values, frames.views, frames.axes, count, *grid.shape, columns, len(x)),
        {"TRANSPOSED": transposed, "OFFSET": offsets(image, y), "BLOCK_B": block},
        _ray_blocks(block),
        ("I", "J", "C", "B", "frames"),
    )
    return scaled_by_lengths(y, frames, out=y).squeeze(1).movedim(-1, 0)


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
    rays = batch_last(y).unsqueeze(1)
    # a batch of one shares its memory with y, which is the caller's
    rays = scaled_by_lengths(rays, frames, out=rays.new_empty(rays.shape))
    x = y.new_empty(*grid.shape, len(y))
    rows, columns = grid.shape
    block = batch_block(len(y))
    launch(
        backproject_plane,
        lambda meta: (
            triton.cdiv(rows, meta["BLOCK_I"]) * triton.cdiv(columns, meta["BLOCK_J"]),
            triton.cdiv(len(y), block),
        ),
        (rays, x, frames.values, frames.views, frames.axes, len(frames.views), *grid.shape)
        + (shape[1], len(y)),
        {"OFFSET": offsets(x, rays), "BLOCK_B": block},
        _pixel_blocks(block),
        ("I", "J", "C", "B", "frames"),
    )
    return x.movedim(-1, 0)


def _slice_scan(geometry: ParallelGeometry | FanGeometry) -> ScanVectors:
    """Describe the scan of an image as that of a volume of one slice, by one detector row."""
    along, forward = (_lifted(axes) for axes in geometry._axes())
    centre = geometry.detector_offset * along
    emitter = forward
    if isinstance(geometry, FanGeometry):
        emitter = -geometry.source_to_axis * forward
        centre = centre + (geometry.source_to_detector - geometry.source_to_axis) * forward
    up = np.broadcast_to([0.0, 0.0, 1.0], along.shape)
    kind = "cone" if isinstance(geometry, FanGeometry) else "parallel"
    step = geometry.detector_spacing * along
    return ScanVectors(kind, emitter, centre, step, up, (1, geometry.num_detectors))


def _lifted(vectors: Array) -> Array:
    return np.pad(vectors, ((0, 0), (0, 1)))


def _ray_blocks(batch: int) -> list[dict[str, int]]:
    """Tiles of neighbouring rays and views, which meet the same pixels."""
    if interpreting():
        shapes = [(16, 16)]
    elif batch < 8:
        shapes = [(1, 32), (2, 32), (4, 32), (1, 128), (4, 8)]
    else:
        shapes = [(1, 16), (2, 16), (4, 8), (4, 16), (1, 32)]
    return [{"BLOCK_V": v, "BLOCK_C": c} for v, c in shapes]


def _pixel_blocks(batch: int) -> list[dict[str, int]]:
    """Square tiles, whose shadow on the detector is short from every side."""
    if interpreting():
        shapes = [(16, 16)]
    elif batch < 8:
        shapes = [(4, 16), (8, 8), (8, 16), (4, 32)]
    else:
        shapes = [(4, 4), (4, 8), (8, 8)]
    return [{"BLOCK_I": i, "BLOCK_J": j} for i, j in shapes]
