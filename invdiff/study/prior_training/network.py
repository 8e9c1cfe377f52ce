"""The network of a prior that is trained here."""

from __future__ import annotations

from typing import Self

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator
from torch import nn

from invdiff.study.base import Config

__all__ = ["UNetConfig"]


class UNetConfig(Config):
    """A ``UNet2DModel`` of diffusers.

    Args:
        channels: At each resolution, from the finest; each multiples of ``groups``.
        layers: Residual blocks at each resolution.
        attention: How many of the coarsest resolutions have attention.
        head_channels: Channels of each head of attention, which divide those there.
        groups: Of the normalisations.
        dropout: Of the residual blocks.
    """

    channels: tuple[PositiveInt, ...] = Field(default=(32, 64, 64), min_length=2)
    layers: PositiveInt = 1
    attention: int = Field(default=0, ge=0)
    head_channels: PositiveInt = 32
    groups: PositiveInt = 16
    dropout: NonNegativeFloat = 0.0

    @model_validator(mode="after")
    def _check_channels(self) -> Self:
        if any(n % self.groups for n in self.channels):
            raise ValueError(
                f"channels: expected multiples of groups, {self.groups}, got {self.channels}"
            )
        if self.attention > len(self.channels):
            raise ValueError(
                f"attention: there are {len(self.channels)} resolutions, got {self.attention}"
            )
        if any(n % self.head_channels for n in self._attended):
            raise ValueError(f"head_channels: {self.head_channels} don't divide {self._attended}")
        return self

    @property
    def unit(self) -> int:
        """What the side of the images must be a multiple of."""
        return int(2 ** (len(self.channels) - 1))

    def build(self, size: int, num_channels: int, num_classes: int) -> nn.Module:
        """Return an untrained network, its weights drawn from torch's default generator.

        Args:
            size: Rows and columns of the images.
            num_channels: Of an image.
            num_classes: Classes that it is told, one more for none; 0 if it isn't told any.
        """
        from diffusers import UNet2DModel

        depth = len(self.channels)
        plain = depth - self.attention
        network: nn.Module = UNet2DModel(
            sample_size=size,
            in_channels=num_channels,
            out_channels=num_channels,
            block_out_channels=self.channels,
            layers_per_block=self.layers,
            down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",) * self.attention,
            up_block_types=("AttnUpBlock2D",) * self.attention + ("UpBlock2D",) * plain,
            attention_head_dim=self.head_channels,
            norm_num_groups=self.groups,
            dropout=self.dropout,
            resnet_time_scale_shift="scale_shift",
            add_attention=self.attention > 0,
            num_class_embeds=num_classes + 1 if num_classes else None,
        )
        return network

    @property
    def _attended(self) -> tuple[int, ...]:
        return self.channels[len(self.channels) - self.attention :] if self.attention else ()
