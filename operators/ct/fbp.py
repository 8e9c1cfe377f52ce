"""Filtered back-projection for full scans."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from operators.ct.geometry import FanGeometry

if TYPE_CHECKING:
    from operators.ct.sparse import FanBeam2D, ParallelBeam2D

Window = Literal["ramp", "shepp-logan", "cosine", "hamming", "hann"]


def filtered_backprojection(
    operator: ParallelBeam2D | FanBeam2D, sinogram: Tensor, window: Window = "hann"
) -> Tensor:
    r"""Invert a scan over an arc of pi (parallel) or 2 pi (fan), pixel-driven.

    .. math:: x(r) = \frac{\pi}{V} \sum_v w_v(r)\,(q_v * h)(u_v(r))

    with the band-limited ramp h of :cite:t:`kak1988`, eq. 3-61, and for a fan the cosine and
    distance weights of its section 3.4.2.

    Args:
        operator: The projector whose geometry is inverted.
        sinogram: Line integrals, shape ``(*batch, views, detectors)``.
        window: Apodisation of the ramp; "ramp" means none.

    Returns:
        Image in 1/mm, shape ``(*batch, rows, columns)``.

    Raises:
        ValueError: If the sinogram is not one of this operator, or the window is unknown.
    """
    sinogram = operator._checked(sinogram, operator.out_shape, is_complex=False)
    geometry, grid = operator.geometry, operator.grid
    # a fan is treated on a virtual detector through the axis; parallel rays come from infinity
    fan = geometry if isinstance(geometry, FanGeometry) else None
    shrink, curvature = (fan.magnification, 1 / fan.source_to_axis) if fan else (1.0, 0.0)
    position = geometry.detector_positions() / shrink
    spacing = geometry.detector_spacing / shrink
    slant = torch.from_numpy(np.hypot(1, curvature * position)).to(sinogram)
    filtered = _apply_ramp(sinogram / slant, spacing, window)
    x, y = (torch.from_numpy(c).to(sinogram.device) for c in grid.coordinates())
    image = sinogram.new_zeros(*sinogram.shape[:-2], *grid.shape)
    for view, angle in enumerate(geometry.angles):
        along = x * math.cos(angle) + y[:, None] * math.sin(angle)
        depth = y[:, None] * math.cos(angle) - x * math.sin(angle)
        closeness = 1 / (1 + curvature * depth)
        index = (along * closeness - position[0]) / spacing
        image += _interpolate(filtered[..., view, :], index) * closeness.square().to(image)
    # a fan that turns by 2 pi sees every line twice, so both kinds have the same weight
    return image * (math.pi / len(geometry.angles))


def _apply_ramp(sinogram: Tensor, spacing: float, window: Window) -> Tensor:
    count = sinogram.shape[-1]
    size = 2 ** math.ceil(math.log2(2 * count))
    n = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64).round()
    odd = n.abs() % 2 == 1
    kernel = torch.where(odd, -1 / (math.pi * n.masked_fill(~odd, 1.0) * spacing) ** 2, 0.0)
    kernel[0] = 1 / (4 * spacing**2)
    response = torch.fft.rfft(kernel).real * _window(window, size // 2 + 1) * spacing
    spectrum = torch.fft.rfft(sinogram, n=size)
    filtered = torch.fft.irfft(spectrum * response.to(sinogram), n=size)
    return filtered[..., :count]


def _window(name: Window, count: int) -> Tensor:
    f = torch.linspace(0, 1, count, dtype=torch.float64)  # 1 is the Nyquist frequency
    windows = {
        "ramp": torch.ones_like(f),
        "shepp-logan": torch.sinc(f / 2),
        "cosine": torch.cos(math.pi * f / 2),
        "hamming": 0.54 + 0.46 * torch.cos(math.pi * f),
        "hann": 0.5 + 0.5 * torch.cos(math.pi * f),
    }
    if name not in windows:
        raise ValueError(f"unknown window {name!r}, expected one of {sorted(windows)}")
    return windows[name]


def _interpolate(rows: Tensor, index: Tensor) -> Tensor:
    """Linear interpolation of ``(*batch, n)`` at real indices, zero outside."""
    last = rows.shape[-1] - 1
    low = index.floor().clamp(0, max(last - 1, 0)).long()
    share = (index - low).to(rows)
    inside = ((index >= 0) & (index <= last)).to(rows)
    high = (low + 1).clamp(max=last)
    value = rows[..., low.reshape(-1)] * (1 - share.reshape(-1))
    value = value + rows[..., high.reshape(-1)] * share.reshape(-1)
    return value.reshape(*rows.shape[:-1], *index.shape) * inside
