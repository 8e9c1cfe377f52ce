"""Networks that fields are learned with, all called in one way."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from invdiff.interpolants.process import Field

__all__ = ["FieldMLP", "FieldUNet", "time_features", "told"]

# diffusers embeds times of 0 to 1000
_TIME_SCALE = 1000.0
# channels of a group of the normalisation
_GROUPS = 16
# distance to an end below which times look alike
_NEAR = 1e-2


class FieldMLP(nn.Module):
    """A multilayer perceptron of x, t and a condition, for vectors.

    Time enters by ``time_features``. The last layer starts at zero: an untrained field is zero, or
    what a ``GaussianSkip`` around it makes of zero.

    Args:
        dim: Numbers in x.
        width: Of each hidden layer.
        depth: Hidden layers.
        condition_dim: Numbers in the condition.
        frequencies: Waves of the time.
        input_frequencies: Waves of each entry of x, for fields with sharp edges in few dimensions,
            which a perceptron learns slowly; about the numbers of unit variance that a
            ``GaussianSkip`` passes on.

    Raises:
        ValueError: A size below 1.
    """

    def __init__(
        self,
        dim: int,
        width: int = 256,
        depth: int = 4,
        condition_dim: int = 0,
        *,
        frequencies: int = 4,
        input_frequencies: int = 0,
    ) -> None:
        super().__init__()
        self.settings = {
            "dim": dim,
            "width": width,
            "depth": depth,
            "condition_dim": condition_dim,
            "frequencies": frequencies,
            "input_frequencies": input_frequencies,
        }
        counts = (condition_dim, frequencies, input_frequencies)
        if min(dim, width, depth) < 1 or min(counts) < 0:
            raise ValueError(
                "FieldMLP: expected dim, width, depth of at least 1 and the others of at least 0, "
                f"got {self.settings}"
            )
        self.dim, self.condition_dim, self.frequencies = dim, condition_dim, frequencies
        # periods of 4, 2, 4/3, ...
        waves = math.pi / 2 * torch.arange(1, input_frequencies + 1)
        self.waves: Tensor
        self.register_buffer("waves", waves, persistent=False)
        inputs = dim * (1 + 2 * input_frequencies) + 3 + 2 * frequencies + condition_dim
        sizes = [inputs, *(width,) * depth]
        hidden: list[nn.Module] = []
        for inside, outside in itertools.pairwise(sizes):
            hidden += [nn.Linear(inside, outside), nn.SiLU()]
        last = nn.Linear(width, dim)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*hidden, last)

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the field for x ``(*batch, dim)``, t 0-dimensional or ``batch``.

        Raises:
            ValueError: x or the condition has another number of entries.
        """
        given = 0 if condition is None else condition.shape[-1]
        if x.shape[-1] != self.dim or given != self.condition_dim:
            raise ValueError(
                f"FieldMLP: expected x with {self.dim} and a condition with {self.condition_dim} "
                f"entries, got {x.shape[-1]} and {given}"
            )
        time = time_features(t, self.frequencies).to(x).expand(*x.shape[:-1], -1)
        parts = [x, time] if condition is None else [x, time, condition.to(x)]
        if len(self.waves):
            phase = (x.unsqueeze(-1) * self.waves).flatten(-2)
            parts += [phase.cos(), phase.sin()]
        output: Tensor = self.layers(torch.cat(parts, -1))
        return output


def time_features(t: Tensor, frequencies: int) -> Tensor:
    r"""Return what a network is told of the time, ``(*t.shape, 3 + 2 frequencies)``.

    .. math:: 2 t - 1, \quad \ln(t + \delta), \quad \ln(1 - t + \delta), \quad
        \cos(\pi k t), \quad \sin(\pi k t)

    with k from 1 to the number of frequencies. The logarithms are there because fields change on
    the scale of the distance to an end, which t itself does not resolve.
    """
    k = torch.arange(1, frequencies + 1, device=t.device)
    waves = math.pi * t.unsqueeze(-1) * k
    low, high = ((s + _NEAR).log() / 2 + 1 for s in (t, 1 - t))
    return torch.cat([torch.stack([2 * t - 1, low, high], -1), waves.cos(), waves.sin()], -1)


class FieldUNet(nn.Module):
    """The UNet of the priors on blocks of pixels, for images ``(batch, channel, height, width)``.

    Args:
        channels: Of the images.
        condition_channels: Of the condition, an image of the same size.
        patch: Side of the blocks of pixels that become channels.
        widths: Channels of the network, one number for each resolution, multiples of 16.
        layers: Residual blocks at each resolution.

    Raises:
        ValueError: A size below 1, or another width.
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
        if min(channels, patch, layers, *widths) < 1 or condition_channels < 0 or not widths:
            raise ValueError("FieldUNet: a size is below 1")
        if any(width % _GROUPS for width in widths):
            raise ValueError(f"FieldUNet: expected widths of multiples of {_GROUPS}, got {widths}")
        self.channels, self.condition_channels, self.patch = channels, condition_channels, patch
        #: side of an image is a multiple of it
        self.unit = patch * 2 ** (len(widths) - 1)
        self.settings = {
            "channels": channels,
            "condition_channels": condition_channels,
            "patch": patch,
            "widths": list(widths),
            "layers": layers,
        }
        self.unet: Any = UNet2DModel(
            in_channels=(channels + condition_channels) * patch**2,
            out_channels=channels * patch**2,
            block_out_channels=tuple(widths),
            layers_per_block=layers,
            down_block_types=("DownBlock2D",) * len(widths),
            up_block_types=("UpBlock2D",) * len(widths),
            norm_num_groups=_GROUPS,
            resnet_time_scale_shift="scale_shift",
        )

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the field for x ``(batch, channel, height, width)``, t 0-dimensional or batch.

        Raises:
            ValueError: An image, or a condition, that the network can't take.
        """
        self._check(x, condition)
        stacked = x if condition is None else torch.cat([x, condition.to(x)], 1)
        time = _TIME_SCALE * t.to(x).expand(len(x))
        output = self.unet(pixel_unshuffle(stacked, self.patch), time, return_dict=False)[0]
        return pixel_shuffle(output, self.patch).to(x.dtype)

    def _check(self, x: Tensor, condition: Tensor | None) -> None:
        expected = f"({self.channels}, {self.unit} * n, {self.unit} * m)"
        if x.ndim != 4 or x.shape[1] != self.channels or any(n % self.unit for n in x.shape[2:]):
            raise ValueError(
                f"FieldUNet: expected images of shape {expected}, got {tuple(x.shape[1:])}"
            )
        given = 0 if condition is None else condition.shape[1]
        if given != self.condition_channels or (
            condition is not None and condition.shape[2:] != x.shape[2:]
        ):
            raise ValueError(
                f"FieldUNet: expected a condition with {self.condition_channels} channels of the "
                f"size of the images, got {None if condition is None else tuple(condition.shape)}"
            )


def told(network: nn.Module, condition: Tensor | None) -> Field:
    """Return the field of a network under a condition, ``(batch, *other)`` or None."""

    def field(x: Tensor, t: Tensor) -> Tensor:
        output: Tensor = network(x, t) if condition is None else network(x, t, condition)
        return output

    return field
