"""Centred orthonormal Fourier transforms: zero frequency and origin at index n // 2."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence


def fft(x: Tensor, dims: Sequence[int]) -> Tensor:
    r"""Return the centred orthonormal transform along dims.

    .. math:: X_k = N^{-1/2} \sum_j x_j \, e^{-2 \pi i (k - c)(j - c) / N},
        \quad c = \lfloor N/2 \rfloor

    Args:
        x: Real or complex, of any shape.
        dims: Axes that are transformed.
    """
    dims = tuple(dims)
    spectrum = torch.fft.fftn(torch.fft.ifftshift(x, dim=dims), dim=dims, norm="ortho")
    return torch.fft.fftshift(spectrum, dim=dims)


def ifft(x: Tensor, dims: Sequence[int]) -> Tensor:
    """Return the inverse, and the adjoint, of :func:`fft` along dims."""
    dims = tuple(dims)
    image = torch.fft.ifftn(torch.fft.ifftshift(x, dim=dims), dim=dims, norm="ortho")
    return torch.fft.fftshift(image, dim=dims)


def centring_ramp(size: int) -> Tensor:
    r"""Return the factors in front of a plain FFT that put the zero frequency at its centre.

    .. math:: r_j = e^{2 \pi i j c / N}, \qquad c = \lfloor N / 2 \rfloor

    With them ``fftshift(fft(x))`` is ``fft(r * x)``: the checkerboard (-1)^j for an even size, a
    phase ramp for an odd one.

    Args:
        size: Length N of the axis.

    Returns:
        complex128 tensor of shape (size,).
    """
    if size % 2 == 0:
        # exact signs, where cos and sin of j pi would leave 1e-16 in the imaginary part
        signs = 1 - 2 * (torch.arange(size) % 2)
        return signs.to(torch.complex128)
    turns = torch.arange(size) * (size // 2) % size
    angles = 2 * math.pi * turns.to(torch.float64) / size
    return torch.polar(torch.ones_like(angles), angles)
