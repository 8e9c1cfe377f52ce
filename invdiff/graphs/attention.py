"""Graph multi-head attention, all channels of the adjacency at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from invdiff.graphs.convolution import GraphConvolution, normalized
from invdiff.graphs.perceptron import perceptron
from invdiff.graphs.state import from_pairs, to_pairs

__all__ = ["GraphAttention"]


class GraphAttention(nn.Module):
    r"""One layer of the network of the adjacency :cite:p:`jo2022`.

    For each channel C of the adjacency, with queries, keys and values from graph convolutions on
    that channel, split into heads,

    .. math:: M_C = \operatorname{mean}_h \tanh\bigl(Q_h K_h^T / \sqrt d\bigr), \qquad
        X' = \tanh\,\mathrm{MLP}([V_C]_C), \qquad
        A' = \mathrm{MLP}\bigl([M_C + M_C^T, C]_C\bigr)

    d is the width of a node, not that of a head.

    Args:
        widths: Of the nodes that come in, of queries and keys, and of the nodes that go out.
        channels: Of the adjacency, in and out.
        num_heads: Of the attention; divides the width of the queries.
        num_linear: Layers of the perceptron of the pairs.

    Raises:
        ValueError: Heads that don't divide the width.
    """

    def __init__(
        self, widths: tuple[int, int, int], channels: tuple[int, int], num_heads: int,
        num_linear: int,
    ) -> None:  # fmt: skip
        super().__init__()
        num_in, attention, num_out = widths
        if attention % num_heads:
            raise ValueError(f"heads: {num_heads} don't divide the width {attention}")
        self.num_heads, self.attention, self.num_out = num_heads, attention, num_out
        # queries, keys and values of all channels are one convolution
        self.convolution = GraphConvolution(num_in, 2 * attention + num_out, channels[0])
        for start, width in ((0, attention), (attention, attention), (2 * attention, num_out)):
            for weight in self.convolution.weight.data:
                nn.init.xavier_uniform_(weight[:, start : start + width])
        hidden = 2 * max(channels)
        self.nodes = perceptron(channels[0] * num_out, hidden, num_out, num_layers=2)
        self.pairs = perceptron(2 * channels[0], hidden, channels[1], num_layers=num_linear)

    def forward(
        self, nodes: Tensor, pairs: Tensor, mask: Tensor, present: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return new nodes ``(B, N, width)`` and pairs ``(B, P, channels)``.

        Args:
            nodes: Shape ``(B, N, features)``.
            pairs: Shape ``(B, P, channels)``, the entries above the diagonal.
            mask: Shape ``(B, N)``.
            present: 1 where both nodes of a pair are there, shape ``(B, P, 1)``.
        """
        dense = from_pairs(pairs.transpose(1, 2), nodes.shape[1])
        query, key, value = self.convolution(nodes, normalized(dense)).split(
            [self.attention, self.attention, self.num_out], -1
        )
        heads = (self.num_heads, self.attention // self.num_heads)
        query = query.unflatten(-1, heads).transpose(2, 3)
        key = key.unflatten(-1, heads).transpose(2, 3)
        scores = torch.tanh(query @ key.transpose(-1, -2) / math.sqrt(self.num_out)).mean(2)
        scores = to_pairs(scores + scores.transpose(-1, -2)) / 2
        inputs = torch.cat([scores.transpose(1, 2), pairs], -1)
        # the reference adds the transpose, which is the same matrix
        pairs = 2 * self.pairs(inputs) * present
        nodes = self.nodes(value.transpose(1, 2).flatten(2))
        return torch.tanh(nodes * mask.unsqueeze(-1)), pairs
