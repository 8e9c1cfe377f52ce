"""The way down and the way up through the resolutions of an NCSN++."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from invdiff.priors.architectures.ncsnpp_blocks import (
    Attention,
    Combine,
    Downsample,
    ResidualBlock,
    Upsample,
    add_shortcut,
    conv3x3,
)
from invdiff.priors.architectures.ncsnpp_settings import NCSNppSettings
from invdiff.priors.architectures.normalisation import group_norm

__all__ = ["Numbered", "WayDown", "WayUp"]

Layer = TypeVar("Layer", bound=nn.Module)
Resample = Downsample | Upsample


class Numbered:
    """Layers in the order of a checkpoint, where they have numbers for names.

    Attributes:
        layers: Those so far.
    """

    def __init__(self) -> None:
        self.layers: list[nn.Module] = []

    def add(self, layer: Layer) -> Layer:
        """Give a layer the next number, and give it back."""
        self.layers.append(layer)
        return layer


class _Level(NamedTuple):
    blocks: list[ResidualBlock]
    attention: list[Attention | None]
    resample: ResidualBlock | Resample | None
    pyramid: Resample | None = None
    combine: Combine | None = None
    head: nn.Sequential | None = None


class WayDown:
    """From the image to the features of all resolutions.

    Args:
        settings: Of the network.
        numbered: Takes the layers.

    Attributes:
        channels: Of the features in turn; the way up takes them from the end.
    """

    def __init__(self, settings: NCSNppSettings, numbered: Numbered) -> None:
        self.settings = settings
        self.first = numbered.add(conv3x3(settings.num_channels, settings.nf))
        self.channels = [settings.nf]
        self._pyramid_channels = settings.num_channels
        self.levels = [self._level(level, numbered) for level in range(len(settings.ch_mult))]

    def _level(self, level: int, numbered: Numbered) -> _Level:
        s, blocks, attention = self.settings, [], []
        for _ in range(s.num_res_blocks):
            out = s.nf * s.ch_mult[level]
            blocks.append(numbered.add(ResidualBlock(self.channels[-1], out, s)))
            attention.append(numbered.add(Attention(out, s)) if s.attends(level) else None)
            self.channels.append(out)
        if level == len(s.ch_mult) - 1:
            return _Level(blocks, attention, None)
        return self._resampled(_Level(blocks, attention, None), numbered)

    def _resampled(self, level: _Level, numbered: Numbered) -> _Level:
        s, channels = self.settings, self.channels[-1]
        resample: ResidualBlock | Resample
        if s.resblock_type == "ddpm":
            resample = numbered.add(Downsample(channels, channels, s, s.resamp_with_conv))
        else:
            half = Downsample(channels, channels, s, False)
            resample = numbered.add(ResidualBlock(channels, channels, s, half))
        level = level._replace(resample=resample)
        if s.progressive_input == "none":
            self.channels.append(channels)
            return level
        trained = s.progressive_input == "residual"
        pyramid = numbered.add(Downsample(self._pyramid_channels, channels, s, trained))
        if trained:
            self._pyramid_channels = channels
            self.channels.append(channels)
            return level._replace(pyramid=pyramid)
        combine = Combine(self._pyramid_channels, channels, s.progressive_combine)
        stacked = s.progressive_combine == "cat"
        self.channels.append(2 * channels if stacked else channels)
        return level._replace(pyramid=pyramid, combine=numbered.add(combine))

    def __call__(self, x: Tensor, embedding: Tensor | None) -> list[Tensor]:
        """Return features of ``channels`` for images ``(batch, channel, height, width)``."""
        features, pyramid = [self.first(x)], x
        for level in self.levels:
            for block, attention in zip(level.blocks, level.attention, strict=True):
                h = block(features[-1], embedding)
                features.append(h if attention is None else attention(h))
            if level.resample is not None:
                h = _resample(level.resample, features[-1], embedding)
                if level.pyramid is not None:
                    pyramid = level.pyramid(pyramid)
                    if level.combine is not None:
                        h = level.combine(pyramid, h)
                    else:
                        h = pyramid = add_shortcut(pyramid, h, self.settings.skip_rescale)
                features.append(h)
        return features


class WayUp:
    """From the features of all resolutions to the output.

    Args:
        settings: Of the network.
        channels: Of the features, see ``WayDown``; taken from the end.
        numbered: Takes the layers.
    """

    def __init__(self, settings: NCSNppSettings, channels: list[int], numbered: Numbered) -> None:
        self.settings = settings
        self._channels = channels[-1]
        self._pyramid_channels = 0
        left = list(channels)
        self.levels = [
            self._level(level, left, numbered) for level in reversed(range(len(settings.ch_mult)))
        ]
        self.last: nn.Sequential | None = None
        if settings.progressive != "output_skip":
            self.last = _head(self._channels, settings.num_channels, numbered)

    def _level(self, level: int, left: list[int], numbered: Numbered) -> _Level:
        s, blocks = self.settings, []
        out = s.nf * s.ch_mult[level]
        for _ in range(s.num_res_blocks + 1):
            blocks.append(numbered.add(ResidualBlock(self._channels + left.pop(), out, s)))
            self._channels = out
        attention = [numbered.add(Attention(out, s)) if s.attends(level) else None]
        pyramid, head = self._gathering(level, out, numbered)
        resample: ResidualBlock | Resample | None = None
        if level > 0 and s.resblock_type == "ddpm":
            resample = numbered.add(Upsample(out, out, s, s.resamp_with_conv))
        elif level > 0:
            resample = numbered.add(ResidualBlock(out, out, s, Upsample(out, out, s, False)))
        return _Level(blocks, attention, resample, pyramid=pyramid, head=head)

    def _gathering(
        self, level: int, channels: int, numbered: Numbered
    ) -> tuple[Upsample | None, nn.Sequential | None]:
        s, pyramid, head = self.settings, None, None
        lowest, trained = level == len(s.ch_mult) - 1, s.progressive == "residual"
        if s.progressive == "none":
            return None, None
        if not lowest:
            pyramid = numbered.add(Upsample(self._pyramid_channels, channels, s, trained))
        if lowest or not trained:
            head = _head(channels, channels if trained else s.num_channels, numbered)
        self._pyramid_channels = channels if trained else s.num_channels
        return pyramid, head

    def __call__(self, h: Tensor, features: list[Tensor], embedding: Tensor | None) -> Tensor:
        """Return the output; the features are taken from the end of the list."""
        pyramid: Tensor | None = None
        for level in self.levels:
            for block in level.blocks:
                h = block(torch.cat([h, features.pop()], dim=1), embedding)
            if level.attention[0] is not None:
                h = level.attention[0](h)
            if level.pyramid is not None:
                pyramid = level.pyramid(pyramid)
            if level.head is not None:
                pyramid = level.head(h) if pyramid is None else pyramid + level.head(h)
            elif pyramid is not None:
                h = pyramid = add_shortcut(pyramid, h, self.settings.skip_rescale)
            if level.resample is not None:
                h = _resample(level.resample, h, embedding)
        if self.last is not None:
            return self.last(h)
        assert pyramid is not None
        return pyramid


def _head(channels: int, channels_out: int, numbered: Numbered) -> nn.Sequential:
    norm = numbered.add(group_norm(channels))
    return nn.Sequential(norm, nn.SiLU(), numbered.add(conv3x3(channels, channels_out)))


def _resample(layer: ResidualBlock | Resample, h: Tensor, embedding: Tensor | None) -> Tensor:
    result: Tensor = layer(h, embedding) if isinstance(layer, ResidualBlock) else layer(h)
    return result
