"""Filtered back-projection of two-dimensional scans."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from operators.ct.geometry import FanGeometry, ParallelGeometry
from operators.ct.ramp import Window, apply_ramp
from operators.ct.redundancy import missing_elements, redundancy_weights, scan_arc

if TYPE_CHECKING:
    from operators.ct.detector import Array
    from operators.ct.sparse import FanBeam2D, ParallelBeam2D

__all__ = ["Window", "filtered_backprojection"]


def filtered_backprojection(
    operator: ParallelBeam2D | FanBeam2D, sinogram: Tensor, window: Window = "hann"
) -> Tensor:
    r"""Invert a scan, pixel-driven.

    .. math:: x(r) = \sum_v \Delta\beta \, m_v(r)^2 \, (w_v o \, q_v * h)(s_v(r))

    with the view step :math:`\Delta\beta`, the position s of the pixel's shadow on the detector,
    the band-limited ramp h, and the weights w for lines that are measured twice
    (:func:`~operators.ct.redundancy.redundancy_weights`). Parallel rays have m = o = 1; a fan of
    :cite:t:`kak1988`, section 3.4, has

    .. math:: o = \frac{R \cos\gamma}{D \cos\tau}, \qquad m_v(r) = \frac{D \cos\tau}{U_v(r)}

    with the distances R and D from source to axis and detector, the fan angle gamma, the tilt tau,
    and the depth U of the pixel in front of the source: across a flat detector, or along the ray
    for a curved one.

    Full, short (Parker) and offset scans are inverted; views over a smaller arc, or a detector
    that does not see the whole object, leave their artefacts in the image.

    Args:
        operator: The projector whose geometry is inverted.
        sinogram: Line integrals, shape ``(*batch, views, detectors)``.
        window: Apodisation of the ramp; "ramp" means none.

    Returns:
        Image in 1/mm, shape ``(*batch, rows, columns)``.

    Raises:
        ValueError: If the operator is another one or the sinogram not one of it, or the window is
            unknown.
    """
    if not isinstance(getattr(operator, "geometry", None), ParallelGeometry | FanGeometry):
        raise ValueError(
            "filtered_backprojection: expected ParallelBeam2D or FanBeam2D, got "
            f"{type(operator).__name__}"
        )
    sinogram = operator._checked(sinogram, operator.out_shape, is_complex=False)
    geometry, grid = operator.geometry, operator.grid
    weights = torch.from_numpy(_ray_weights(geometry)).to(sinogram)
    spacing, (low, high) = geometry.detector_spacing, missing_elements(geometry)
    weighted = functional.pad(sinogram * weights, (low, high))
    filtered = apply_ramp(weighted, spacing, window, angle_step=_angle_step(geometry))
    first = geometry.detector_positions()[0] - low * spacing
    x, y = (torch.from_numpy(c).to(sinogram.device) for c in grid.coordinates())
    image = sinogram.new_zeros(*sinogram.shape[:-2], *grid.shape)
    for view, angle in enumerate(geometry.angles):
        across = x * math.cos(angle) + y[:, None] * math.sin(angle)
        depth = y[:, None] * math.cos(angle) - x * math.sin(angle)
        position, magnified = _shadow(geometry, across, depth)
        shadow = _interpolate(filtered[..., view, :], (position - first) / spacing)
        image += shadow * magnified.square().to(image)
    return image


def _ray_weights(geometry: ParallelGeometry | FanGeometry) -> Array:
    step = scan_arc(geometry) / len(geometry.angles)
    weights = step * redundancy_weights(geometry)
    if not isinstance(geometry, FanGeometry):
        return weights
    slant = np.cos(geometry.fan_angles()) / math.cos(geometry.detector_tilt)
    return np.asarray(weights * slant / geometry.magnification)


def _angle_step(geometry: ParallelGeometry | FanGeometry) -> float:
    if isinstance(geometry, FanGeometry) and geometry.detector == "curved":
        return geometry.detector_spacing / geometry.source_to_detector
    return 0.0


def _shadow(
    geometry: ParallelGeometry | FanGeometry, across: Tensor, depth: Tensor
) -> tuple[Tensor, Tensor]:
    """Position on the detector in mm of pixels beside and beyond the axis, and magnification."""
    if not isinstance(geometry, FanGeometry):
        return across, torch.ones_like(across)
    reach = geometry.source_to_detector
    forward = geometry.source_to_axis + depth
    if geometry.detector == "curved":
        return reach * torch.atan2(across, forward), reach / torch.hypot(across, forward)
    cos, sin = math.cos(geometry.detector_tilt), math.sin(geometry.detector_tilt)
    magnified = reach * cos / (forward * cos - across * sin)
    return (across * cos + forward * sin) * magnified - reach * sin, magnified


def _interpolate(rows: Tensor, index: Tensor) -> Tensor:
    """Linear interpolation of ``(*batch, n)`` at real indices ``(rows, columns)``, 0 outside."""
    count = rows.shape[-1]
    # rows are images of height 1, whose outer edges are at -1 and 1
    place = (2 * index + 1) / count - 1
    where = torch.stack([place, torch.zeros_like(place)], dim=-1)[None].to(rows)
    # the batch as channels: weights are computed once, and it runs at the speed of the memory
    found = functional.grid_sample(rows.reshape(1, -1, 1, count), where, align_corners=False)
    return found.reshape(*rows.shape[:-1], *index.shape)
