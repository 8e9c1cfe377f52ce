"""The layers of NCSN++, with the parameter names of score_sde."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invdiff.priors.architectures import fir
from invdiff.priors.architectures.attention import attend
from invdiff.priors.architectures.ncsnpp_settings import NCSNppSettings
from invdiff.priors.architectures.noise_embedding import (
    SinglePrecision,
    precise,
    sines_and_cosines,
)
from invdiff.priors.architectures.normalisation import group_norm

__all__ = ["Attention", "Combine", "Downsample", "FourierFeatures", "ResidualBlock", "Upsample",
           "add_shortcut", "conv3x3"]  # fmt: skip


def conv3x3(channels_in: int, channels_out: int) -> nn.Conv2d:
    """Return a 3 x 3 convolution that keeps the size."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def add_shortcut(x: Tensor, h: Tensor, rescale: bool) -> Tensor:
    """Return the sum, divided by the square root of 2 if asked for."""
    return (x + h) / math.sqrt(2) if rescale else x + h


class FourierFeatures(SinglePrecision):
    """Sines and cosines of log sigma at random frequencies, that trainings leave as they are."""

    def __init__(self, count: int, scale: float = 16.0) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.randn(count) * scale, requires_grad=False)

    def forward(self, sigma: Tensor) -> Tensor:
        """Return ``(batch, 2 count)`` for sigma ``(batch,)``."""
        turns = torch.outer(precise(sigma.log()), self.W)
        return sines_and_cosines(2 * math.pi * turns)


class _Pointwise(nn.Module):
    """A 1 x 1 convolution whose weight is ``W``, ``(in, out)``."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.W = nn.Parameter(nn.init.xavier_uniform_(torch.empty(channels_in, channels_out)))
        self.b = nn.Parameter(torch.zeros(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.W.t()[:, :, None, None], self.b)


class Combine(nn.Module):
    """Join the input of the network to the features of a lower resolution."""

    def __init__(self, channels_in: int, channels: int, method: str) -> None:
        super().__init__()
        self.Conv = nn.Conv2d(channels_in, channels, 1)
        self.method = method

    def forward(self, image: Tensor, features: Tensor) -> Tensor:
        """Return the features with the image added, or stacked before them."""
        h = self.Conv(image)
        return torch.cat([h, features], dim=1) if self.method == "cat" else h + features


class Attention(nn.Module):
    """Self-attention between all pixels, one head."""

    NIN_0: _Pointwise
    NIN_1: _Pointwise
    NIN_2: _Pointwise
    NIN_3: _Pointwise

    def __init__(self, channels: int, settings: NCSNppSettings) -> None:
        super().__init__()
        self.GroupNorm_0 = group_norm(channels)
        for number in range(4):
            self.add_module(f"NIN_{number}", _Pointwise(channels, channels))
        self.rescale = settings.skip_rescale

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape ``(batch, channel, height, width)``."""
        h = self.GroupNorm_0(x)
        parts = (layer(h).flatten(2)[:, None] for layer in (self.NIN_0, self.NIN_1, self.NIN_2))
        seen = attend(*parts)
        return add_shortcut(x, self.NIN_3(seen.reshape(x.shape)), self.rescale)


class Downsample(nn.Module):
    """Halve the size, with a trained convolution or without."""

    Conv_0: nn.Conv2d
    Conv2d_0: nn.Conv2d

    def __init__(
        self, channels_in: int, channels_out: int, settings: NCSNppSettings, with_conv: bool
    ) -> None:
        super().__init__()
        self.settings, self.with_conv = settings, with_conv
        if with_conv:
            convolution = nn.Conv2d(channels_in, channels_out, 3, stride=2)
            self.add_module("Conv2d_0" if settings.fir else "Conv_0", convolution)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, channels_out, height / 2, width / 2)``."""
        kernel = fir.fir_kernel(self.settings.taps, x)
        if not self.with_conv:
            return fir.downsample(x, kernel)
        if not self.settings.fir:
            # an even size has no middle: the padding stands on one side only
            padded: Tensor = self.Conv_0(F.pad(x, (0, 1, 0, 1)))
            return padded
        halved = fir.downsample_then_convolve(x, self.Conv2d_0.weight, kernel)
        return _shift(halved, self.Conv2d_0)


class Upsample(nn.Module):
    """Double the size, with a trained convolution or without."""

    Conv_0: nn.Conv2d
    Conv2d_0: nn.Conv2d

    def __init__(
        self, channels_in: int, channels_out: int, settings: NCSNppSettings, with_conv: bool
    ) -> None:
        super().__init__()
        self.settings, self.with_conv = settings, with_conv
        if with_conv:
            name = "Conv2d_0" if settings.fir else "Conv_0"
            self.add_module(name, conv3x3(channels_in, channels_out))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, channels_out, 2 height, 2 width)``."""
        kernel = fir.fir_kernel(self.settings.taps, x)
        if self.with_conv and self.settings.fir:
            doubled = fir.convolve_then_upsample(x, self.Conv2d_0.weight, kernel)
            return _shift(doubled, self.Conv2d_0)
        doubled = fir.upsample(x, kernel)
        return self.Conv_0(doubled) if self.with_conv else doubled


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut; a BigGAN block may double or halve the size first."""

    def __init__(
        self, channels_in: int, channels_out: int, settings: NCSNppSettings,
        resample: Upsample | Downsample | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.GroupNorm_0 = group_norm(channels_in)
        self.Conv_0 = conv3x3(channels_in, channels_out)
        self.Dense_0 = nn.Linear(4 * settings.nf, channels_out)
        self.GroupNorm_1 = group_norm(channels_out)
        self.Conv_1 = conv3x3(channels_out, channels_out)
        self.rescale, self.resample = settings.skip_rescale, resample
        self.shortcut_name = ""
        if resample is not None or channels_in != channels_out:
            biggan = settings.resblock_type == "biggan"
            self.shortcut_name = "Conv_2" if biggan else "NIN_0"
            self.add_module(
                self.shortcut_name,
                nn.Conv2d(channels_in, channels_out, 1)
                if biggan
                else _Pointwise(channels_in, channels_out),
            )

    def forward(self, x: Tensor, embedding: Tensor | None) -> Tensor:
        """Return features for ``(batch, channel, height, width)`` and embedding ``(batch, n)``."""
        h = F.silu(self.GroupNorm_0(x))
        if self.resample is not None:
            h, x = self.resample(h), self.resample(x)
        h = self.Conv_0(h)
        if embedding is not None:
            h = h + self.Dense_0(F.silu(embedding))[:, :, None, None]
        h = self.Conv_1(F.silu(self.GroupNorm_1(h)))
        if self.shortcut_name:
            x = self.get_submodule(self.shortcut_name)(x)
        return add_shortcut(x, h, self.rescale)


def _shift(x: Tensor, layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return x + layer.bias[:, None, None]
