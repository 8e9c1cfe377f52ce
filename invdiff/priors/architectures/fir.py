"""Doubling and halving of images with a filter against aliasing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["convolve_then_upsample", "downsample", "downsample_then_convolve", "fir_kernel",
           "upsample"]  # fmt: skip


def fir_kernel(taps: Sequence[float], like: Tensor) -> Tensor:
    """Return the separable kernel ``(length, length)`` of sum 1, in the type of another tensor.

    Args:
        taps: Of one axis: an even number of them, symmetric. ``(1, 1)`` repeats pixels and averages
            blocks of 2 x 2.
        like: Gives the dtype and the device.

    Raises:
        ValueError: Taps that would shift the image, or of sum 0.
    """
    if len(taps) % 2 or list(taps) != list(taps)[::-1] or not sum(taps):
        raise ValueError(f"fir: expected an even number of symmetric taps, got {tuple(taps)}")
    one_axis = torch.tensor(taps, dtype=like.dtype, device=like.device)
    return torch.outer(one_axis, one_axis) / one_axis.sum() ** 2


def upsample(x: Tensor, kernel: Tensor) -> Tensor:
    """Double images ``(batch, channel, height, width)``: zeros between the pixels, filtered.

    Args:
        x: Images; zero outside.
        kernel: See ``fir_kernel``.
    """
    channels = x.shape[1]
    # three of four pixels are zero, hence the 4
    weight = (4 * kernel.to(x.dtype)).expand(channels, 1, -1, -1)
    return F.conv_transpose2d(x, weight, stride=2, padding=len(kernel) // 2 - 1, groups=channels)


def downsample(x: Tensor, kernel: Tensor) -> Tensor:
    """Halve images ``(batch, channel, height, width)`` of even size: every second pixel, filtered.

    Args:
        x: Images; zero outside.
        kernel: See ``fir_kernel``.
    """
    channels = x.shape[1]
    weight = kernel.to(x.dtype).expand(channels, 1, -1, -1)
    return F.conv2d(x, weight, stride=2, padding=len(kernel) // 2 - 1, groups=channels)


def convolve_then_upsample(x: Tensor, weight: Tensor, kernel: Tensor) -> Tensor:
    """Double images with a trained 3 x 3 convolution between the zeros and the filter.

    Args:
        x: ``(batch, channel, height, width)``; zero outside.
        weight: ``(out_channel, channel, 3, 3)``.
        kernel: See ``fir_kernel``; 4 taps at least.
    """
    channels = weight.shape[0]
    # the transpose of a correlation convolves: turn the weight round
    wide = F.conv_transpose2d(x, weight.flip(2, 3).transpose(0, 1), stride=2)
    smooth = (4 * kernel.to(x.dtype)).expand(channels, 1, -1, -1)
    return F.conv2d(wide, smooth, padding=len(kernel) // 2 - 1, groups=channels)


def downsample_then_convolve(x: Tensor, weight: Tensor, kernel: Tensor) -> Tensor:
    """Halve images with a trained 3 x 3 convolution between the filter and the choice of pixels.

    Args:
        x: ``(batch, channel, height, width)`` of even size; zero outside.
        weight: ``(out_channel, channel, 3, 3)``.
        kernel: See ``fir_kernel``.
    """
    channels = x.shape[1]
    smooth = kernel.to(x.dtype).expand(channels, 1, -1, -1)
    filtered = F.conv2d(x, smooth, padding=len(kernel) // 2, groups=channels)
    return F.conv2d(filtered, weight, stride=2)
