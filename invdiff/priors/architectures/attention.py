"""Positions that attend to each other."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

__all__ = ["attend"]


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    r"""Return :math:`\mathrm{softmax}(q^T k / \sqrt{c})\, v^T` at each position.

    Args:
        query: ``(batch, heads, channel, position)``.
        key: In the shape of query.
        value: In the shape of query.

    Returns:
        ``(batch, heads * channel, position)``.
    """
    q, k, v = (part.transpose(-1, -2) for part in (query, key, value))
    mixed = functional.scaled_dot_product_attention(q, k, v)
    return mixed.transpose(-1, -2).flatten(1, 2)
