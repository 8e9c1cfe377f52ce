"""Views of a scan split by the axis their rays mainly run along: what the kernels read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from operators.ct.volume import Array, ScanVectors, VolumeGrid

# the other two axes of x (0), y (1) and z (2), in their order
_CROSS = ((1, 2), (0, 2), (0, 1))
_DOMINANCE_MARGIN = 1e-4  # far above the rounding of a direction in float32


@dataclass(frozen=True, eq=False)
class RayFrames:
    r"""Rays as affine functions of the detector's column and row, one frame for each main axis.

    Lengths are in voxels and counted from the centre of the volume; c and r are counted from the
    centre of the detector. A ray has direction D(c, r), and with p any point on it the moment
    :math:`Q_b = p_b D_a - p_a D_b`. Both are affine in c and r, for parallel and for cone beams, so
    that it crosses plane n of its main axis a at

    .. math:: h_b(n) = n \, D_b / D_a + Q_b / D_a

    without the cancellation of a far source. Frames are sorted by axis, then by view; a view
    appears once for every axis that may be the main one of one of its rays.

    Args:
        values: (frames, 27): D of the main and the two cross axes and Q of the cross axes, each as
            (constant, per column, per row), then the projection of a point onto the detector as
            three rows (column, row, depth) of (constant, main, cross, cross).
        directions: (views, 18): D along x, y and z, each as (constant, per column, per row), in
            voxels and then in mm.
        views: View of every frame, int32.
        axes: Main axis of every frame, 0 for x, 1 for y, 2 for z; int32.
        aligned: Whether no frame's main axis is z and D_x, D_y do not depend on the row.
    """

    values: Tensor
    directions: Tensor
    views: Tensor
    axes: Tensor
    aligned: bool

    def to(self, dtype: torch.dtype, device: torch.device) -> RayFrames:
        """Return the frames in another precision and on another device."""
        return replace(
            self,
            values=self.values.to(device, dtype),
            directions=self.directions.to(device, dtype),
            views=self.views.to(device),
            axes=self.axes.to(device),
        )


def ray_frames(grid: VolumeGrid, scan: ScanVectors, reach: float) -> RayFrames:
    """Return the frames of a scan in float64.

    Args:
        grid: The voxels.
        scan: Where source and detector are.
        reach: How far from its centre a voxel is still touched, in voxels.

    Raises:
        ValueError: If the plane through a source and parallel to its detector meets the volume,
            widened by ``reach``: rays there have no bounded shadow on the detector.
    """
    rows, columns = scan.detector_shape
    scale = np.array([1.0, -1.0, 1.0]) / np.array(grid.voxel_size)[::-1]
    emitter, centre, u, v = (a * scale for a in (scan.emitter, scan.centre, scan.u, scan.v))
    zero = np.zeros_like(u)
    if scan.kind == "cone":
        direction = np.stack([centre - emitter, u, v], axis=1)
        point = np.stack([emitter, zero, zero], axis=1)
    else:
        direction = np.stack([emitter, zero, zero], axis=1)
        point = np.stack([centre, u, v], axis=1)
    shadow = _shadows(direction, point, u, v, scan)
    _check_depth(shadow[:, 2], grid, reach)
    shadow[:, 0] += (columns - 1) / 2 * shadow[:, 2]
    shadow[:, 1] += (rows - 1) / 2 * shadow[:, 2]
    views, axes = _main_axes(direction, scan.detector_shape)
    both = np.stack([direction, direction / scale], axis=1).swapaxes(2, 3)
    frames = [
        _frame(direction[view], point[view], shadow[view], axis)
        for view, axis in zip(views, axes, strict=True)
    ]
    aligned = not (axes == 2).any() and not direction[:, 2, :2].any()
    return RayFrames(
        torch.from_numpy(np.stack(frames)),
        torch.from_numpy(both.reshape(-1, 18)),
        torch.from_numpy(views.astype(np.int32)),
        torch.from_numpy(axes.astype(np.int32)),
        aligned,
    )


def _frame(direction: Array, point: Array, shadow: Array, axis: int) -> Array:
    crosses = _CROSS[axis]
    # one of direction and point is constant over the detector, so the product stays affine
    moments = [
        point[:, b] * direction[0, axis] - point[:, axis] * direction[0, b]
        if not direction[1:].any()
        else point[0, b] * direction[:, axis] - point[0, axis] * direction[:, b]
        for b in crosses
    ]
    order = (axis, *crosses)
    lines = [*(direction[:, o] for o in order), *moments]
    return np.concatenate([*lines, *shadow[:, [0, *(1 + o for o in order)]]])


def _shadows(direction: Array, point: Array, u: Array, v: Array, scan: ScanVectors) -> Array:
    """Return (views, 3, 4): homogeneous column, row and depth of the point (1, x, y, z)."""
    solved = np.linalg.inv(np.stack([u, v, direction[:, 0]], axis=-1))
    shadow = np.concatenate([-solved @ point[:, 0, :, None], solved], axis=-1)
    if scan.kind == "parallel":
        shadow[:, 2] = (1, 0, 0, 0)
    return shadow


def _check_depth(depth: Array, grid: VolumeGrid, reach: float) -> None:
    half = np.array(grid.shape[::-1]) / 2 - 0.5 + reach
    nearest = depth[:, 0] - np.abs(depth[:, 1:]) @ half
    if not (nearest > 0).all():
        raise ValueError(
            f"the source of view {int(nearest.argmin())} is inside or behind the volume of "
            f"{grid.shape} voxels of {grid.voxel_size} mm; expected all of it in front"
        )


def _main_axes(direction: Array, detector_shape: tuple[int, int]) -> tuple[Array, Array]:
    """Return (view, axis) of every pair for which some ray of the view may run along the axis."""
    half = (np.array(detector_shape)[::-1] - 1) / 2
    corners = np.array([[1, c, r] for c in (-half[0], half[0]) for r in (-half[1], half[1])])
    at_corners = np.einsum("kt,vta->vka", corners, direction)
    margin = _DOMINANCE_MARGIN * np.abs(at_corners).max(axis=(1, 2))[:, None]
    possible = np.ones((len(direction), 3), dtype=bool)
    for axis, crosses in enumerate(_CROSS):
        for other in crosses:
            # both are affine: of one sign at the corners is of one sign on the whole detector
            less = at_corners[..., other] - at_corners[..., axis]
            more = at_corners[..., other] + at_corners[..., axis]
            beaten = ((less > margin) & (more > margin)).all(axis=1)
            beaten |= ((less < -margin) & (more < -margin)).all(axis=1)
            possible[:, axis] &= ~beaten
    axes, views = np.nonzero(possible.T)
    return views, axes
