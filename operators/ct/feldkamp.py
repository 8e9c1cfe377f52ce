"""Filtered back-projection of circular cone-beam scans."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from operators.ct.cone import ConeGeometry, check_cylinder
from operators.ct.geometry import ImageGrid
from operators.ct.ramp import Window, apply_ramp
from operators.ct.redundancy import missing_elements, redundancy_weights, scan_arc

if TYPE_CHECKING:
    from operators.ct.detector import Array
    from operators.ct.volume import VolumeGrid


def feldkamp(
    grid: VolumeGrid, geometry: ConeGeometry, sinogram: Tensor, window: Window = "hann"
) -> Tensor:
    r"""Invert a circular cone-beam scan approximately (:cite:t:`feldkamp1984`), pixel-driven.

    .. math:: x(r) = \sum_v \Delta\beta \, \frac{D^2}{U_v(r)^2} \left(w_v \frac{R}{D}
        \frac{D}{\sqrt{D^2 + s^2 + t^2}} \, q_v *_s h\right)(s_v(r), t_v(r))

    with the distances R and D from source to axis and detector, the depth U of the voxel in front
    of the source, the position (s, t) of its shadow on the detector, and the weights w of the
    fan in the mid-plane: a full turn, with the detector offset or not, or a short scan (Parker).
    It is exact in the mid-plane and for an object that does not change along z.

    A detector that is tilted is first resampled to an upright one of the same size. The memory is
    that of the sinogram, of the volume, and of one view's contribution to it.

    Args:
        grid: The volume, within the circle of the source.
        geometry: The scan, with a pitch of 0.
        sinogram: Line integrals, shape ``(*batch, views, rows, columns)``.
        window: Apodisation of the ramp along the rows; "ramp" means none.

    Returns:
        Volume in 1/mm, shape ``(*batch, slices, rows, columns)``.

    Raises:
        ValueError: If the scan is helical, the source passes through the volume, the sinogram is
            of another shape or kind, or the window is unknown.
    """
    _check(grid, geometry, sinogram)
    if geometry.detector_tilt:
        geometry, sinogram = _upright(geometry, sinogram)
    weights = torch.from_numpy(_ray_weights(geometry)).to(sinogram)
    missing = missing_elements(geometry.midplane())
    wider = _widened(geometry, *missing)
    volume = sinogram.new_zeros(*sinogram.shape[:-3], *grid.shape)
    for view, (weight, angle) in enumerate(zip(weights, geometry.angles, strict=True)):
        weighted = functional.pad(sinogram[..., view, :, :] * weight, missing)
        filtered = apply_ramp(weighted, geometry.detector_spacing[1], window)
        volume += _backprojected(filtered, grid, wider, angle)
    return volume


def _check(grid: VolumeGrid, geometry: ConeGeometry, sinogram: Tensor) -> None:
    if geometry.pitch:
        raise ValueError(f"feldkamp: expected a circular scan, got a pitch of {geometry.pitch} mm")
    check_cylinder(geometry.source_to_axis, grid)
    if sinogram.ndim < 3 or tuple(sinogram.shape[-3:]) != geometry.shape:
        raise ValueError(
            f"feldkamp: expected trailing shape {geometry.shape}, got {tuple(sinogram.shape)}"
        )
    if not sinogram.is_floating_point():
        raise ValueError(f"feldkamp: expected a real floating-point tensor, got {sinogram.dtype}")


def _ray_weights(geometry: ConeGeometry) -> Array:
    fan = geometry.midplane()
    step = scan_arc(fan) / len(geometry.angles)
    v, u = geometry.detector_positions()
    length = np.sqrt(geometry.source_to_detector**2 + u**2 + v[:, None] ** 2)
    weights = step * redundancy_weights(fan)[:, None, :]
    return np.asarray(weights * geometry.source_to_axis / length)


def _widened(geometry: ConeGeometry, low: int, high: int) -> ConeGeometry:
    (rows, columns), (up, across) = geometry.detector_shape, geometry.detector_offset
    return dataclasses.replace(
        geometry,
        detector_shape=(rows, columns + low + high),
        detector_offset=(up, across + (high - low) / 2 * geometry.detector_spacing[1]),
    )


def _backprojected(
    filtered: Tensor, grid: VolumeGrid, geometry: ConeGeometry, angle: float
) -> Tensor:
    x, y, z = (torch.from_numpy(c).to(filtered.device) for c in _coordinates(grid))
    across = x * math.cos(angle) + y[:, None] * math.sin(angle)
    depth = y[:, None] * math.cos(angle) - x * math.sin(angle)
    magnified = geometry.source_to_detector / (geometry.source_to_axis + depth)
    # all that is as large as the volume is in the precision of the data
    aside, enlarged = (across * magnified).to(filtered), magnified.to(filtered)
    up = (z - geometry.axial_position).to(filtered)[:, None, None] * enlarged
    return _sampled(filtered, geometry, up, aside) * enlarged.square()


def _coordinates(grid: VolumeGrid) -> tuple[Array, Array, Array]:
    (slices, *in_plane), (dz, *pixel) = grid.shape, grid.voxel_size
    x, y = ImageGrid((in_plane[0], in_plane[1]), (pixel[0], pixel[1])).coordinates()
    return x, y, (np.arange(slices) - (slices - 1) / 2) * dz


def _upright(geometry: ConeGeometry, sinogram: Tensor) -> tuple[ConeGeometry, Tensor]:
    """Resample to a detector of the same centre, size and spacing without tilt."""
    cos, sin = math.cos(geometry.detector_tilt), math.sin(geometry.detector_tilt)
    up, across = geometry.detector_offset
    offset = (up * cos + across * sin, across * cos - up * sin)
    upright = dataclasses.replace(geometry, detector_tilt=0.0, detector_offset=offset)
    v, u = (torch.from_numpy(c).to(sinogram.device) for c in upright.detector_positions())
    rows, columns = v[:, None] * cos - u * sin, v[:, None] * sin + u * cos
    return upright, _sampled(sinogram, geometry, rows, columns)


def _sampled(images: Tensor, geometry: ConeGeometry, v: Tensor, u: Tensor) -> Tensor:
    """Bilinear interpolation of ``(*lead, rows, columns)`` at positions in mm, zero outside."""
    # in torch's coordinates -1 and 1 are the outer edges of the first and the last element
    (rows, columns), (dv, du) = geometry.detector_positions(), geometry.detector_spacing
    across = (2 * (u - columns[0]) / du + 1) / len(columns) - 1
    upward = (2 * (v - rows[0]) / dv + 1) / len(rows) - 1
    places = torch.broadcast_tensors(across, upward)  # type: ignore[no-untyped-call]
    where = torch.stack(places, dim=-1)
    found = functional.grid_sample(
        images.reshape(1, -1, *images.shape[-2:]),
        where.flatten(0, -3)[None].to(images),
        align_corners=False,
    )
    return found.reshape(*images.shape[:-2], *where.shape[:-1])
