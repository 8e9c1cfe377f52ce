"""The normalisation that networks of score SDEs and of EDM have in common."""

from __future__ import annotations

from torch import nn

__all__ = ["group_norm"]


def group_norm(channels: int, eps: float = 1e-6) -> nn.GroupNorm:
    """Return a normalisation in groups of 4 channels or more, at most 32 groups.

    Args:
        channels: In and out.
        eps: Added to the variances: 1e-6, but for EDM's "adm".
    """
    return nn.GroupNorm(min(channels // 4, 32), channels, eps=eps)
