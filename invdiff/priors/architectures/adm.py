"""The network of guided-diffusion (ADM) and of improved-diffusion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from invdiff.priors.architectures.adm_blocks import (
    ADMAttention,
    ADMDownsample,
    ADMLayers,
    ADMResidual,
    ADMUpsample,
    group_norm,
)
from invdiff.priors.architectures.image_network import ImageNetwork, NetworkConfig
from invdiff.priors.architectures.noise_embedding import time_embedding

__all__ = ["ADMSettings", "ADMUNet"]


@dataclass(frozen=True)
class ADMSettings:
    """What decides an ADM network and its noise, by the names of its project.

    Args:
        image_size: Rows and columns.
        in_channels: Channels of an image.
        model_channels: Channels at factor 1; multiples of 32.
        num_res_blocks: Residual blocks of a level.
        channel_mult: Channels of each level, in ``model_channels``.
        attention_factors: Factors of downsampling with attention: ``image_size`` over the
            "attention_resolutions" of the project's flags.
        num_heads: Attention heads, unless ``num_head_channels`` is given.
        num_head_channels: Channels of a head.
        use_new_attention_order: How ``qkv`` is laid out, see ``ADMAttention``.
        use_scale_shift_norm: See ``ADMResidual``.
        resblock_updown: Residual blocks change the resolution, not single convolutions.
        learn_sigma: The output has a variance in as many further channels.
        num_classes: Rows of the table of labels; None for a network without.
        noise_schedule: "linear" or "cosine" betas.
        diffusion_steps: Training times.
        rescale_timesteps: The network is told times up to 1000 whatever the steps are.
        predict_xstart: The output is x0, not the noise.
    """

    image_size: int
    in_channels: int = 3
    model_channels: int = 256
    num_res_blocks: int = 2
    channel_mult: tuple[float, ...] = (1, 1, 2, 2, 4, 4)
    attention_factors: tuple[int, ...] = (8, 16, 32)
    num_heads: int = 4
    num_head_channels: int | None = None
    use_new_attention_order: bool = False
    use_scale_shift_norm: bool = True
    resblock_updown: bool = True
    learn_sigma: bool = True
    num_classes: int | None = None
    noise_schedule: Literal["linear", "cosine"] = "linear"
    diffusion_steps: int = 1000
    rescale_timesteps: bool = False
    predict_xstart: bool = False

    @property
    def out_channels(self) -> int:
        """Channels of the output, twice those of the image where it also has a variance."""
        return self.in_channels * (2 if self.learn_sigma else 1)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(int(mult * self.model_channels) for mult in self.channel_mult)


class ADMUNet(ImageNetwork):
    """The U-Net of :cite:t:`dhariwal2021`, parameter for parameter.

    Args:
        settings: Its shapes, and how times are told.
    """

    def __init__(self, settings: ADMSettings) -> None:
        super().__init__(
            NetworkConfig(
                settings.image_size,
                settings.in_channels,
                settings.out_channels,
                settings.num_classes,
            )
        )
        self.settings = settings
        told = 4 * settings.model_channels
        self.time_embed = nn.Sequential(
            nn.Linear(settings.model_channels, told), nn.SiLU(), nn.Linear(told, told)
        )
        if settings.num_classes is not None:
            self.label_emb = nn.Embedding(settings.num_classes, told)
        first, last = settings.widths[0], settings.widths[-1]
        stem = ADMLayers(nn.Conv2d(settings.in_channels, first, 3, padding=1))
        # channels that each level hands across to the way up
        across = [first]
        self.input_blocks = nn.ModuleList([stem, *self._way_down(across)])
        self.middle_block = ADMLayers(
            self._residual(last, last), self._attention(last), self._residual(last, last)
        )
        self.output_blocks = nn.ModuleList(self._way_up(across))
        self.out = nn.Sequential(
            group_norm(first), nn.SiLU(), nn.Conv2d(first, settings.out_channels, 3, padding=1)
        )

    def _output(self, sample: Tensor, timestep: Tensor, class_labels: Tensor | None) -> Tensor:
        """Return the noise or x0, and perhaps a variance."""
        settings = self.settings
        time = timestep * (1000 / settings.diffusion_steps if settings.rescale_timesteps else 1)
        waves = time_embedding(time, settings.model_channels)
        embedding = self.time_embed(waves.to(sample.dtype))
        if settings.num_classes is not None:
            if class_labels is None:
                raise ValueError("adm: this network has classes, and got no class_labels")
            embedding = embedding + self.label_emb(class_labels)
        return self._denoise(sample, embedding)

    def _denoise(self, x: Tensor, embedding: Tensor) -> Tensor:
        across = []
        for block in self.input_blocks:
            x = block(x, embedding)
            across.append(x)
        x = self.middle_block(x, embedding)
        for block in self.output_blocks:
            x = block(torch.cat([x, across.pop()], dim=1), embedding)
        return self.out(x)

    def _way_down(self, across: list[int]) -> Iterator[ADMLayers]:
        channels = across[0]
        for level, width in enumerate(self.settings.widths):
            for _ in range(self.settings.num_res_blocks):
                yield ADMLayers(self._residual(channels, width), *self._attentions(level, width))
                channels = width
                across.append(channels)
            if level < len(self.settings.widths) - 1:
                yield ADMLayers(self._resampling(channels, "down"))
                across.append(channels)

    def _way_up(self, across: list[int]) -> Iterator[ADMLayers]:
        channels = self.settings.widths[-1]
        for level, width in reversed(list(enumerate(self.settings.widths))):
            for i in range(self.settings.num_res_blocks + 1):
                layers = [self._residual(channels + across.pop(), width)]
                channels = width
                layers += self._attentions(level, width)
                if level and i == self.settings.num_res_blocks:
                    layers.append(self._resampling(channels, "up"))
                yield ADMLayers(*layers)

    def _residual(self, channels: int, out: int, resample: str | None = None) -> nn.Module:
        return ADMResidual(
            channels, out, 4 * self.settings.model_channels,
            scale_shift=self.settings.use_scale_shift_norm, resample=resample,
        )  # fmt: skip

    def _resampling(self, channels: int, direction: str) -> nn.Module:
        if self.settings.resblock_updown:
            return self._residual(channels, channels, direction)
        return ADMUpsample(channels) if direction == "up" else ADMDownsample(channels)

    def _attentions(self, level: int, channels: int) -> list[nn.Module]:
        return [self._attention(channels)] if 2**level in self.settings.attention_factors else []

    def _attention(self, channels: int) -> nn.Module:
        settings = self.settings
        heads = settings.num_heads
        if settings.num_head_channels is not None:
            heads = channels // settings.num_head_channels
        return ADMAttention(channels, heads, new_order=settings.use_new_attention_order)
