"""How a network is told the noise level: sines and cosines of it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["fourier_embedding", "positional_embedding"]


def positional_embedding(time: Tensor, channels: int) -> Tensor:
    r"""Return sines, then cosines of :math:`t\, 10^{-4 k / (K - 1)}`, k = 0, ..., K - 1.

    Args:
        time: ``(batch,)``; rounded to 16 bits it would say little, so 32 are used at least.
        channels: 2 K, at least 4.

    Returns:
        ``(batch, channels)``.
    """
    half = channels // 2
    time = _precise(time)
    steps = torch.arange(half, dtype=time.dtype, device=time.device)
    return _waves(torch.outer(time, (-math.log(10000) / (half - 1) * steps).exp()))


def fourier_embedding(value: Tensor, frequencies: Tensor) -> Tensor:
    r"""Return sines, then cosines of :math:`2 \pi f v` :cite:p:`song2021`.

    Args:
        value: ``(batch,)``, such as log sigma.
        frequencies: ``(count,)``.

    Returns:
        ``(batch, 2 count)``.
    """
    value = _precise(value)
    return _waves(torch.outer(value, 2 * math.pi * frequencies.to(value.dtype)))


def _precise(time: Tensor) -> Tensor:
    return time if time.dtype == torch.float64 else time.float()


def _waves(phases: Tensor) -> Tensor:
    return torch.cat([phases.sin(), phases.cos()], dim=1)
