"""What is known of a complex MR image before it is reconstructed: smooth phase, and where it is."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from operators.fourier import fft, ifft

__all__ = ["body_region", "imaginary_std", "smooth_phase"]

# reach of low-pass filters in k-space, in cycles per field of view: phase that is smoother than
# the first goes into the coil maps, and what is imaginary up to the second says how much is left
_REACH, _FINE_REACH = 24, 48
# width of the average of what is left in pixels, and its least value, over the magnitude and over
# its maximum
_BLUR, _PHASE_ERROR, _PHASE_FLOOR = 4.0, 0.02, 0.003
# a body is what is brighter than this share of the robust maximum, and its surroundings in pixels
_BODY_SHARE, _BODY_MARGIN = 0.1, 4
_PERCENTILE = 99.7


def smooth_phase(image: Tensor) -> Tensor:
    """Return the phase factor of the low-resolution image, 1 where that is 0.

    Args:
        image: Complex (height, width).
    """
    factor = _low_pass(image, _REACH).sgn()
    return torch.where(factor == 0, torch.ones_like(factor), factor)


def imaginary_std(image: Tensor) -> Tensor:
    """Return the spread of what is imaginary once the smooth phase is removed, per pixel.

    The root mean square of what a coarse image shows of it in the neighbourhood, as fat and vessels
    have a phase of their own; and a little in proportion to the magnitude, since an error of the
    phase turns so much of it.

    Args:
        image: Complex (height, width), without its smooth phase, scaled to a robust maximum of 1.
    """
    from scipy.ndimage import gaussian_filter

    seen = _low_pass(image, _FINE_REACH).imag.cpu().numpy() ** 2
    local = torch.from_numpy(gaussian_filter(seen, _BLUR)).to(image.device).clamp(min=0).sqrt()
    return local + _PHASE_ERROR * _low_pass(image, _REACH).abs() + _PHASE_FLOOR


def body_region(magnitude: Tensor) -> Tensor:
    """Return where the body is: bright pixels, what they enclose, and a margin.

    Args:
        magnitude: Low-resolution magnitude (height, width).
    """
    from scipy.ndimage import binary_dilation, binary_fill_holes

    values = magnitude.cpu().numpy()
    bright = values > _BODY_SHARE * np.percentile(values, _PERCENTILE)
    grown = binary_dilation(binary_fill_holes(bright), iterations=_BODY_MARGIN)
    return torch.from_numpy(grown)


def _low_pass(image: Tensor, reach: float) -> Tensor:
    rows, columns = (_taper(n, reach).to(image.device) for n in image.shape)
    return ifft(fft(image, (-2, -1)) * (rows[:, None] * columns), (-2, -1))


def _taper(size: int, reach: float) -> Tensor:
    """Return a Hann window about the centre."""
    position = (torch.arange(size) - size // 2) / min(reach, size / 2)
    return torch.cos(math.pi / 2 * position.clamp(-1, 1)) ** 2
