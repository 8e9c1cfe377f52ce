"""The blocks of the ADM network, with the parameter names of its checkpoints."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from invdiff.priors.architectures.attention import attend

__all__ = ["ADMAttention", "ADMDownsample", "ADMLayers", "ADMResidual", "ADMUpsample", "group_norm"]


def group_norm(channels: int) -> nn.GroupNorm:
    """Return the normalisation of ADM, in 32 groups."""
    return nn.GroupNorm(32, channels)


class ADMUpsample(nn.Module):
    """Pixels doubled, then a convolution.

    Args:
        channels: In and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, channel, 2 height, 2 width)``."""
        return self.conv(_doubled(x))


class ADMDownsample(nn.Module):
    """A convolution of stride 2.

    Args:
        channels: In and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, channel, height / 2, width / 2)``."""
        return self.op(x)


class ADMResidual(nn.Module):
    """Two convolutions beside a skip, told the time :cite:p:`dhariwal2021`.

    Args:
        channels: In.
        out_channels: Out.
        embedding_channels: Of the time.
        scale_shift: The time scales and shifts the normalised features, instead of being added.
        resample: "up" or "down" by 2 on both paths, before the first convolution; or None.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        embedding_channels: int,
        *,
        scale_shift: bool,
        resample: str | None = None,
    ) -> None:
        super().__init__()
        self.scale_shift, self.resample = scale_shift, resample
        self.in_layers = nn.Sequential(
            group_norm(channels), nn.SiLU(), nn.Conv2d(channels, out_channels, 3, padding=1)
        )
        told = 2 * out_channels if scale_shift else out_channels
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding_channels, told))
        # the third is where the dropout of the training was
        self.out_layers = nn.Sequential(
            group_norm(out_channels), nn.SiLU(), nn.Identity(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
        )  # fmt: skip
        self.skip_connection: nn.Module = (
            nn.Identity() if channels == out_channels else nn.Conv2d(channels, out_channels, 1)
        )

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return the features for x ``(batch, channel, height, width)``."""
        features = self.in_layers[2](self._resampled(self.in_layers[:2](x)))
        told = self.emb_layers(embedding)[:, :, None, None]
        if self.scale_shift:
            scale, shift = told.chunk(2, dim=1)
            features = self.out_layers[0](features) * (1 + scale) + shift
            features = self.out_layers[1:](features)
        else:
            features = self.out_layers(features + told)
        return self.skip_connection(self._resampled(x)) + features

    def _resampled(self, x: Tensor) -> Tensor:
        if self.resample is None:
            return x
        return _doubled(x) if self.resample == "up" else functional.avg_pool2d(x, 2)


class ADMAttention(nn.Module):
    """Self-attention over all pixels.

    Args:
        channels: In and out.
        num_heads: Groups of channels that attend apart.
        new_order: The 3 x channels of ``qkv`` are (q, k, v) x heads, not heads x (q, k, v).
    """

    def __init__(self, channels: int, num_heads: int, *, new_order: bool) -> None:
        super().__init__()
        if num_heads < 1 or channels % num_heads:
            raise ValueError(f"adm: {channels} channels don't divide into {num_heads} heads")
        self.num_heads, self.new_order = num_heads, new_order
        self.norm = group_norm(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features for x ``(batch, channel, height, width)``."""
        flat = x.flatten(2)
        parts = self.qkv(self.norm(flat))
        if self.new_order:
            query, key, value = parts.unflatten(1, (3, self.num_heads, -1)).unbind(1)
        else:
            query, key, value = parts.unflatten(1, (self.num_heads, 3, -1)).unbind(2)
        return x + self.proj_out(attend(query, key, value)).reshape(x.shape)


class ADMLayers(nn.Sequential):
    """Layers in a row, of which the residual ones are told the time."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:  # type: ignore[override]
        """Return the features for x ``(batch, channel, height, width)``."""
        for layer in self:
            x = layer(x, embedding) if isinstance(layer, ADMResidual) else layer(x)
        return x


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")
