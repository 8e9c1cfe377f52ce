"""The ramp filter of filtered back-projection and its windows."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Window = Literal["ramp", "shepp-logan", "cosine", "hamming", "hann"]


def apply_ramp(rows: Tensor, spacing: float, window: Window, *, angle_step: float = 0.0) -> Tensor:
    r"""Convolve along the last axis with the band-limited ramp of :cite:t:`kak1988`, eq. 3-61.

    On a curved detector the kernel is :math:`(\gamma / \sin\gamma)^2` times that (section 3.4.1),
    as rays that differ by the fan angle gamma are the sine of it apart.

    Args:
        rows: Shape ``(*batch, elements)``.
        spacing: Of the elements in mm.
        window: Apodisation; "ramp" means none.
        angle_step: Fan angle between elements of a curved detector in radians, 0 for a flat one.

    Returns:
        Filtered rows in 1/mm, of the same shape; they do not wrap around.

    Raises:
        ValueError: If the window is unknown.
    """
    count = rows.shape[-1]
    size = 2 ** math.ceil(math.log2(2 * count))
    n = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64).round()
    odd = n.abs() % 2 == 1
    kernel = torch.where(odd, -1 / (math.pi * n.masked_fill(~odd, 1.0) * spacing) ** 2, 0.0)
    kernel[0] = 1 / (4 * spacing**2)
    # elements are at most count - 1 apart: beyond, the kernel only pads
    kernel /= torch.sinc(n.abs().clamp(max=count - 1) * angle_step / math.pi) ** 2
    response = torch.fft.rfft(kernel).real * _response(window, size // 2 + 1) * spacing
    spectrum = torch.fft.rfft(rows, n=size)
    filtered = torch.fft.irfft(spectrum * response.to(rows), n=size)
    return filtered[..., :count]


def _response(name: Window, count: int) -> Tensor:
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
