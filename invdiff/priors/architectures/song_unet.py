"""EDM's U-Nets "ddpmpp" and "ncsnpp", weight for weight."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invdiff.priors.architectures.image_network import ImageNetwork, NetworkConfig
from invdiff.priors.architectures.normalisation import group_norm
from invdiff.priors.architectures.song_blocks import (
    FourierWaves,
    PositionalWaves,
    ResampledConv,
    SongBlock,
)
from invdiff.priors.architectures.song_settings import SongSettings

__all__ = ["SongUNet"]


class SongUNet(ImageNetwork):
    """The networks "ddpmpp" and "ncsnpp" of :cite:t:`karras2022`, parameter for parameter.

    They are those of :cite:t:`song2021` under other names. A label of ``label_dim`` stands for
    none: the vector of zeros that networks trained with dropout of the labels know.

    Args:
        settings: Its shapes.
    """

    accepts_no_label = True

    def __init__(self, settings: SongSettings) -> None:
        super().__init__(
            NetworkConfig(
                settings.img_resolution, settings.in_channels, settings.out_channels,
                settings.label_dim or None,
            )
        )  # fmt: skip
        self.settings = settings
        waves = settings.model_channels * settings.channel_mult_noise
        self._told = settings.model_channels * settings.channel_mult_emb
        positional = settings.embedding_type == "positional"
        self.map_noise = PositionalWaves(waves) if positional else FourierWaves(waves)
        if settings.label_dim:
            self.map_label = nn.Linear(settings.label_dim, waves)
        if settings.augment_dim:
            self.map_augment = nn.Linear(settings.augment_dim, waves, bias=False)
        self.map_layer0 = nn.Linear(waves, self._told)
        self.map_layer1 = nn.Linear(self._told, self._told)
        across: list[int] = []
        self.enc = nn.ModuleDict(dict(self._encoder(across)))
        self.dec = nn.ModuleDict(dict(self._decoder(across)))

    def _output(self, sample: Tensor, timestep: Tensor, class_labels: Tensor | None) -> Tensor:
        """Return F for the noise level c_noise."""
        embedding = self._embedding(timestep, class_labels)
        return self._decode(*self._encode(sample, embedding), embedding)

    def _embedding(self, timestep: Tensor, class_labels: Tensor | None) -> Tensor:
        classes = self.settings.label_dim
        if (class_labels is None) != (classes == 0):
            raise ValueError(f"song: expected labels of {classes} classes, got {class_labels}")
        waves = self.map_noise(timestep).to(self.map_layer0.weight.dtype)
        if class_labels is not None:
            known = F.one_hot(class_labels, classes + 1)[:, :-1].to(waves.dtype)
            waves = waves + self.map_label(known * math.sqrt(classes))
        # the numbers of the augmentation are zero, and what maps them has no bias
        return F.silu(self.map_layer1(F.silu(self.map_layer0(waves))))

    def _encode(self, x: Tensor, embedding: Tensor) -> tuple[Tensor, list[Tensor]]:
        across: list[Tensor] = []
        aside = x
        for name, layer in self.enc.items():
            if name.endswith("aux_down"):
                aside = layer(aside)
            elif name.endswith("aux_skip"):
                x = across[-1] = x + layer(aside)
            elif name.endswith("aux_residual"):
                x = across[-1] = aside = (x + layer(aside)) / math.sqrt(2)
            else:
                x = layer(x, embedding) if isinstance(layer, SongBlock) else layer(x)
                across.append(x)
        return x, across

    def _decode(self, x: Tensor, across: list[Tensor], embedding: Tensor) -> Tensor:
        output: Tensor | None = None
        normed = x
        for name, layer in self.dec.items():
            if name.endswith("aux_up"):
                output = layer(output)
            elif name.endswith("aux_norm"):
                normed = layer(x)
            elif name.endswith("aux_conv"):
                added: Tensor = layer(F.silu(normed))
                output = added if output is None else output + added
            else:
                x = torch.cat([x, across.pop()], dim=1) if "_block" in name else x
                x = layer(x, embedding)
        assert output is not None
        return output

    def _encoder(self, across: list[int]) -> Iterator[tuple[str, nn.Module]]:
        s = self.settings
        width, aside = s.model_channels, s.in_channels
        for level, (size, out) in enumerate(s.levels):
            if level == 0:
                yield f"{size}x{size}_conv", ResampledConv(s.in_channels, width, 3)
            else:
                yield f"{size}x{size}_down", self._block(width, width, direction="down")
                yield from self._from_input(size, aside, width)
                aside = width if s.encoder_type == "residual" else aside
            across.append(width)
            for i in range(s.num_blocks):
                attention = size in s.attn_resolutions
                yield f"{size}x{size}_block{i}", self._block(width, out, attention=attention)
                width = out
                across.append(width)

    def _from_input(self, size: int, aside: int, width: int) -> Iterator[tuple[str, nn.Module]]:
        s, name = self.settings, f"{size}x{size}_aux"
        if s.encoder_type == "skip":
            yield (
                f"{name}_down",
                ResampledConv(aside, aside, 0, direction="down", taps=s.resample_filter),
            )
            yield f"{name}_skip", ResampledConv(aside, width, 1)
        elif s.encoder_type == "residual":
            yield (
                f"{name}_residual",
                ResampledConv(
                    aside, width, 3, direction="down", taps=s.resample_filter, fused=True
                ),
            )

    def _decoder(self, across: list[int]) -> Iterator[tuple[str, nn.Module]]:
        s, width = self.settings, across[-1]
        for level, (size, out) in reversed(list(enumerate(s.levels))):
            name, lowest = f"{size}x{size}", level == len(s.levels) - 1
            if lowest:
                yield f"{name}_in0", self._block(width, width, attention=True)
                yield f"{name}_in1", self._block(width, width)
            else:
                yield f"{name}_up", self._block(width, width, direction="up")
            for i in range(s.num_blocks + 1):
                last = i == s.num_blocks and size in s.attn_resolutions
                yield f"{name}_block{i}", self._block(width + across.pop(), out, attention=last)
                width = out
            yield from self._to_output(level, size, width)

    def _to_output(self, level: int, size: int, width: int) -> Iterator[tuple[str, nn.Module]]:
        s, name = self.settings, f"{size}x{size}_aux"
        if s.decoder_type != "skip" and level > 0:
            return
        channels = s.out_channels
        if s.decoder_type == "skip" and level < len(s.levels) - 1:
            up = ResampledConv(channels, channels, 0, direction="up", taps=s.resample_filter)
            yield f"{name}_up", up
        yield f"{name}_norm", group_norm(width)
        yield f"{name}_conv", ResampledConv(width, channels, 3)

    def _block(
        self, width: int, out: int, *, direction: Literal["none", "up", "down"] = "none",
        attention: bool = False,
    ) -> SongBlock:  # fmt: skip
        taps = self.settings.resample_filter
        return SongBlock(
            width, out, self._told, direction=direction, taps=taps, attention=attention
        )
