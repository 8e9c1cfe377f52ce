"""The layers of EDM's U-Nets "ddpmpp" and "ncsnpp", with their parameter names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invdiff.priors.architectures import fir
from invdiff.priors.architectures.attention import attend
from invdiff.priors.architectures.noise_embedding import (
    SinglePrecision,
    positional_embedding,
    precise,
    sines_and_cosines,
)
from invdiff.priors.architectures.normalisation import group_norm

__all__ = ["FourierWaves", "PositionalWaves", "ResampledConv", "SongBlock"]

Direction = Literal["none", "up", "down"]


class PositionalWaves(nn.Module):
    """Waves of a time; see ``positional_embedding``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, time: Tensor) -> Tensor:
        """Return ``(batch, channels)`` for time ``(batch,)``."""
        return positional_embedding(time, self.channels)


class FourierWaves(SinglePrecision):
    """Sines and cosines of a log noise level at random frequencies."""

    freqs: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("freqs", 16 * torch.randn(channels // 2))

    def forward(self, time: Tensor) -> Tensor:
        """Return ``(batch, channels)`` for time ``(batch,)``."""
        time = precise(time)
        return sines_and_cosines(torch.outer(time, 2 * math.pi * self.freqs.to(time.dtype)))


class ResampledConv(nn.Module):
    """A convolution after doubling or halving the size.

    Args:
        channels_in: Channels of the input.
        channels_out: Of the output.
        kernel: Rows of the trained kernel; 0 for a layer that only resamples.
        direction: Whether the size changes.
        taps: Of the filter of the resampling, see ``fir_kernel``.
        fused: Choose the pixels after the convolution, not before: "down" with 3 x 3 only.
    """

    resample_filter: Tensor | None

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, *, direction: Direction = "none",
        taps: Sequence[float] = (1, 1), fused: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.direction, self.fused = direction, fused
        shape = (channels_out, channels_in, kernel, kernel)
        weight = nn.init.xavier_uniform_(torch.empty(shape)) if kernel else None
        self.weight = None if weight is None else nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(channels_out)) if kernel else None
        square = fir.fir_kernel(taps, torch.empty(0))[None, None]
        self.register_buffer("resample_filter", None if direction == "none" else square)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, channels_out, height', width')``."""
        if self.resample_filter is not None:
            smooth = self.resample_filter[0, 0]
            if self.fused and self.weight is not None and self.bias is not None:
                halved = fir.downsample_then_convolve(x, self.weight, smooth)
                return halved + self.bias[:, None, None]
            x = (fir.upsample if self.direction == "up" else fir.downsample)(x, smooth)
        if self.weight is None:
            return x
        return F.conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2)


class SongBlock(nn.Module):
    """A residual block that is told the noise level, with attention or without.

    Args:
        channels_in: Channels of the input.
        channels_out: Of the output.
        told: Length of the embedding.
        direction: Whether it changes the size.
        taps: Of the filter of that.
        attention: Let the pixels attend to each other, one head.
    """

    def __init__(
        self, channels_in: int, channels_out: int, told: int, *, direction: Direction = "none",
        taps: Sequence[float] = (1, 1), attention: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.norm0, self.norm1 = group_norm(channels_in), group_norm(channels_out)
        self.conv0 = ResampledConv(channels_in, channels_out, 3, direction=direction, taps=taps)
        self.affine = nn.Linear(told, channels_out)
        self.conv1 = ResampledConv(channels_out, channels_out, 3)
        self.skip = (
            ResampledConv(channels_in, channels_out, 1, direction=direction, taps=taps)
            if channels_in != channels_out or direction != "none"
            else None
        )
        self.attends = attention
        if attention:
            self.norm2 = group_norm(channels_out)
            self.qkv = ResampledConv(channels_out, 3 * channels_out, 1)
            self.proj = ResampledConv(channels_out, channels_out, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return features for ``(batch, channel, height, width)`` and embedding ``(batch, n)``."""
        h = self.conv0(F.silu(self.norm0(x))) + self.affine(embedding)[:, :, None, None]
        h = self.conv1(F.silu(self.norm1(h)))
        x = (h + (x if self.skip is None else self.skip(x))) / math.sqrt(2)
        return (x + self._attention(x)) / math.sqrt(2) if self.attends else x

    def _attention(self, x: Tensor) -> Tensor:
        # query, key and value of a channel stand next to each other
        parts = self.qkv(self.norm2(x)).flatten(2).unflatten(1, (1, -1, 3))
        projected: Tensor = self.proj(attend(*parts.unbind(3)).reshape(x.shape))
        return projected
