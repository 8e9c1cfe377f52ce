"""The blocks of EDM's ADM configuration, with the parameter names of its networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from invdiff.priors.architectures.attention import attend
from invdiff.priors.architectures.normalisation import group_norm

__all__ = ["DhariwalBlock", "DhariwalConv", "dhariwal_norm"]

_CHANNELS_PER_HEAD = 64


class DhariwalConv(nn.Module):
    """A convolution of 3 x 3, 1 x 1 or none, after a change of resolution by 2.

    The checkpoints hold the kernel of the resampling, of 2 x 2 equal weights.

    Args:
        channels: In.
        out: Out.
        kernel: 3, 1, or 0 for none.
        resample: "up" or "down", or None.
    """

    def __init__(self, channels: int, out: int, kernel: int, resample: str | None = None) -> None:
        super().__init__()
        self.resample = resample
        self.weight: nn.Parameter | None = None
        self.bias: nn.Parameter | None = None
        if kernel:
            self.weight = nn.Parameter(torch.empty(out, channels, kernel, kernel))
            self.bias = nn.Parameter(torch.zeros(out))
            nn.init.kaiming_normal_(self.weight)
        self.register_buffer(
            "resample_filter", torch.full((1, 1, 2, 2), 0.25) if resample else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the features for x ``(batch, channel, height, width)``."""
        if self.resample == "up":
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
        elif self.resample == "down":
            x = functional.avg_pool2d(x, 2)
        if self.weight is None:
            return x
        return functional.conv2d(x, self.weight, self.bias, padding="same")


class DhariwalBlock(nn.Module):
    """A residual block told the noise level, with attention in some.

    Args:
        channels: In.
        out: Out.
        told: Channels of the embedding.
        attention: In heads of 64 channels; narrower blocks have none.
        resample: "up" or "down" by 2, or None.
    """

    def __init__(
        self, channels: int, out: int, told: int, *, attention: bool = False,
        resample: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.norm0, self.norm1 = dhariwal_norm(channels), dhariwal_norm(out)
        self.conv0 = DhariwalConv(channels, out, 3, resample)
        self.affine = nn.Linear(told, 2 * out)
        self.conv1 = DhariwalConv(out, out, 3)
        self.skip = (
            DhariwalConv(channels, out, int(channels != out), resample)
            if channels != out or resample
            else None
        )
        self.num_heads = out // _CHANNELS_PER_HEAD if attention else 0
        if self.num_heads:
            self.norm2 = dhariwal_norm(out)
            self.qkv, self.proj = DhariwalConv(out, 3 * out, 1), DhariwalConv(out, out, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return the features for x ``(batch, channel, height, width)``."""
        scale, shift = self.affine(embedding)[:, :, None, None].chunk(2, dim=1)
        features = self.conv0(functional.silu(self.norm0(x)))
        features = self.conv1(functional.silu(self.norm1(features) * (scale + 1) + shift))
        x = features + (x if self.skip is None else self.skip(x))
        return x + self._attention(x) if self.num_heads else x

    def _attention(self, x: Tensor) -> Tensor:
        parts = self.qkv(self.norm2(x)).flatten(2).unflatten(1, (self.num_heads, -1, 3))
        return self.proj(attend(*parts.unbind(3)).reshape(x.shape))


def dhariwal_norm(channels: int) -> nn.GroupNorm:
    """Return the normalisation of EDM's "adm"."""
    return group_norm(channels, eps=1e-5)
