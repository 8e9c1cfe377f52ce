"""Networks that fields are learned with, all called in one way."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from invdiff.interpolants.process import Field

__all__ = ["FieldMLP", "FieldUNet", "told"]

# diffusers embeds times of 0 to 1000
_TIME_SCALE = 1000.0


class FieldMLP(nn.Module):
    """A multilayer perceptron of x, t and a condition, for vectors.

    Args:
        dim: Numbers in x.
        width: Of each hidden layer.
        depth: Hidden layers.
        condition_dim: Numbers in the condition.

    Raises:
        ValueError: A size below 1.
    """

    def __init__(self, dim: int, width: int = 256, depth: int = 4, condition_dim: int = 0) -> None:
        super().__init__()
        if min(dim, width, depth) < 1 or condition_dim < 0:
            raise ValueError(f"FieldMLP: a size is below 1: {dim}, {width}, {depth}")
        sizes = [dim + 1 + condition_dim, *(width,) * depth]
        hidden: list[nn.Module] = []
        for inside, outside in itertools.pairwise(sizes):
            hidden += [nn.Linear(inside, outside), nn.SiLU()]
        self.layers = nn.Sequential(*hidden, nn.Linear(width, dim))

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the field for x ``(batch, dim)``, t 0-dimensional or ``batch``."""
        time = t.to(x).expand(x.shape[:-1]).unsqueeze(-1)
        parts = [x, time] if condition is None else [x, time, condition.to(x)]
        output: Tensor = self.layers(torch.cat(parts, -1))
        return output


class FieldUNet(nn.Module):
    """The UNet of the priors on blocks of pixels, for images ``(batch, channel, height, width)``.

    Args:
        channels: Of the images.
        condition_channels: Of the condition, an image of the same size.
        patch: Side of the blocks of pixels that become channels.
        widths: Channels of the network, one number for each resolution.
        layers: Residual blocks at each resolution.

    Raises:
        ValueError: A size below 1.
    """

    def __init__(
        self,
        channels: int = 1,
        condition_channels: int = 0,
        *,
        patch: int = 2,
        widths: Sequence[int] = (32, 64, 96),
        layers: int = 1,
    ) -> None:
        from diffusers import UNet2DModel

        super().__init__()
        if min(channels, patch, layers, *widths) < 1 or condition_channels < 0:
            raise ValueError("FieldUNet: a size is below 1")
        depth, self.patch = len(widths), patch
        self.unet: Any = UNet2DModel(
            in_channels=(channels + condition_channels) * patch**2,
            out_channels=channels * patch**2,
            block_out_channels=tuple(widths),
            layers_per_block=layers,
            down_block_types=("DownBlock2D",) * depth,
            up_block_types=("UpBlock2D",) * depth,
            norm_num_groups=16,
            resnet_time_scale_shift="scale_shift",
        )

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the field for x ``(batch, channel, height, width)``, t 0-dimensional or batch."""
        stacked = x if condition is None else torch.cat([x, condition.to(x)], 1)
        time = _TIME_SCALE * t.to(x).expand(len(x))
        output = self.unet(pixel_unshuffle(stacked, self.patch), time, return_dict=False)[0]
        return pixel_shuffle(output, self.patch).to(x.dtype)


def told(network: nn.Module, condition: Tensor | None) -> Field:
    """Return the field of a network under a condition, ``(batch, *other)`` or None."""

    def field(x: Tensor, t: Tensor) -> Tensor:
        output: Tensor = network(x, t) if condition is None else network(x, t, condition)
        return output

    return field
