"""How a time, and positions that attend to each other, enter a network."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["attend", "time_embedding"]


def time_embedding(time: Tensor, channels: int) -> Tensor:
    r"""Return waves of a time at geometric frequencies, cosines before sines :cite:p:`ho2020`.

    .. math:: (\cos \omega_i t, \ldots, \sin \omega_i t, \ldots), \qquad \omega_i = 10^{-4 i / h}

    Args:
        time: ``(batch,)``, in the convention of the network.
        channels: 2 h, and one zero more where it is odd.

    Returns:
        ``(batch, channels)`` in at least single precision: a time up to 1000 has too many digits
        for less.
    """
    half = channels // 2
    index = torch.arange(half, device=time.device, dtype=torch.float32)
    wide = time if time.dtype == torch.float64 else time.float()
    phase = wide[:, None] * (-math.log(10000) * index / half).exp()
    waves = torch.cat([phase.cos(), phase.sin()], dim=1)
    return functional.pad(waves, (0, channels - 2 * half))


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    r"""Return :math:`\mathrm{softmax}(q^T k / \sqrt{c})\, v^T` at each position.

    Args:
        query: ``(batch, heads, channel, position)``.
        key: In the shape of query.
        value: In the shape of query.

    Returns:
        ``(batch, heads * channel, position)``.
    """
    q, k, v = (part.transpose(-1, -2) for part in (query, key, value))
    mixed = functional.scaled_dot_product_attention(q, k, v)
    return mixed.transpose(-1, -2).flatten(1, 2)
