"""How a network is told the noise level: sines and cosines of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["SinglePrecision", "positional_embedding", "precise", "sines_and_cosines",
           "time_embedding"]  # fmt: skip


class SinglePrecision(nn.Module):
    """A layer whose tensors stay in single precision when the rest of a network goes to half.

    Rounded to half precision, high frequencies would turn by whole radians.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        exact = {name: tensor.data for name, tensor in self.state_dict().items()}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, before in exact.items():
            tensor = getattr(self, name)
            if tensor.dtype.itemsize < 4:
                tensor.data = before.to(tensor.device)
        return self


def positional_embedding(time: Tensor, channels: int) -> Tensor:
    r"""Return sines, then cosines of :math:`t\, 10^{-4 k / (K - 1)}`, k = 0, ..., K - 1.

    Args:
        time: ``(batch,)``, see ``precise``.
        channels: 2 K, at least 4.

    Returns:
        ``(batch, channels)``.
    """
    half = channels // 2
    time = precise(time)
    steps = torch.arange(half, dtype=time.dtype, device=time.device)
    return sines_and_cosines(torch.outer(time, (-math.log(10000) / (half - 1) * steps).exp()))


def time_embedding(time: Tensor, channels: int) -> Tensor:
    r"""Return waves of a time at geometric frequencies, cosines before sines :cite:p:`ho2020`.

    .. math:: (\cos \omega_i t, \ldots, \sin \omega_i t, \ldots), \qquad \omega_i = 10^{-4 i / h}

    Args:
        time: ``(batch,)``, in the convention of the network.
        channels: 2 h, and one zero more where it is odd.

    Returns:
        ``(batch, channels)``, see ``precise``.
    """
    half = channels // 2
    index = torch.arange(half, device=time.device, dtype=torch.float32)
    phase = precise(time)[:, None] * (-math.log(10000) * index / half).exp()
    waves = torch.cat([phase.cos(), phase.sin()], dim=1)
    return functional.pad(waves, (0, channels - 2 * half))


def precise(time: Tensor) -> Tensor:
    """Return times in single precision at least: up to 1000 they have too many digits for half."""
    return time if time.dtype == torch.float64 else time.float()


def sines_and_cosines(phases: Tensor) -> Tensor:
    """Return the sines, then the cosines, ``(batch, 2 count)`` of phases ``(batch, count)``."""
    return torch.cat([phases.sin(), phases.cos()], dim=1)
