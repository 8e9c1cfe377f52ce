"""The two networks of GDSS: one for the node features, one for the adjacency."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from invdiff.graphs.attention import GraphAttention
from invdiff.graphs.convolution import GraphConvolution, normalized
from invdiff.graphs.perceptron import perceptron
from invdiff.graphs.state import GraphState, from_pairs, pair_indices, to_pairs

__all__ = ["AdjacencyNetwork", "NodeNetwork"]


class NodeNetwork(nn.Module):
    r"""Graph convolutions whose outputs of all depths meet in a perceptron :cite:p:`jo2022`.

    .. math:: H_{l+1} = \tanh(\mathrm{GCN}(H_l, A)), \qquad
        \mathrm{out} = \mathrm{MLP}([X, H_1, \dots, H_L])

    Permutation equivariant. It isn't told the time.

    Args:
        num_features: F, of a node.
        depth: L.
        width: Features of each H.

    Raises:
        ValueError: A number below 1.
    """

    def __init__(self, num_features: int, depth: int = 3, width: int = 32) -> None:
        super().__init__()
        self.settings = {"num_features": num_features, "depth": depth, "width": width}
        _check_sizes(self)
        sizes = [num_features] + [width] * depth
        self.layers = nn.ModuleList(GraphConvolution(a, b) for a, b in pairwise(sizes))
        total = sum(sizes)
        self.readout = perceptron(total, 2 * total, num_features, num_layers=3)

    def forward(self, state: GraphState) -> Tensor:
        """Return ``(B, N, F)`` for graphs with one batch axis."""
        propagation = normalized(state.adjacency)
        features = [state.nodes]
        for layer in self.layers:
            features.append(torch.tanh(layer(features[-1], propagation)))
        out: Tensor = self.readout(torch.cat(features, -1))
        return out * state.mask.unsqueeze(-1)


class AdjacencyNetwork(nn.Module):
    r"""Graph multi-head attention over powers of the adjacency :cite:p:`jo2022`.

    Channels :math:`A, A^2, \dots` pass through layers of ``GraphAttention``; those of all layers
    meet in a perceptron for each pair. Symmetric with a zero diagonal, permutation equivariant.
    It isn't told the time.

    Only the pairs i < j are computed: every channel is symmetric, and a diagonal reaches
    nothing but itself, for the convolutions put ones there.

    Args:
        num_features: F, of a node.
        depth: Layers.
        width: Features of a node between the layers.
        attention_width: Of queries and keys after the first layer, where it is ``width``.
        num_heads: Of the attention.
        num_powers: Of the adjacency.
        num_channels: Between the layers.
        num_last_channels: After the last one.
        num_linear: Layers of the perceptrons of the pairs within the attention.

    Raises:
        ValueError: A number below 1, or heads that don't divide the width of the queries.
    """

    def __init__(
        self,
        num_features: int,
        depth: int = 5,
        width: int = 32,
        attention_width: int = 32,
        num_heads: int = 4,
        num_powers: int = 2,
        num_channels: int = 8,
        num_last_channels: int = 4,
        num_linear: int = 2,
    ) -> None:
        super().__init__()
        self.settings = {
            "num_features": num_features,
            "depth": depth,
            "width": width,
            "attention_width": attention_width,
            "num_heads": num_heads,
            "num_powers": num_powers,
            "num_channels": num_channels,
            "num_last_channels": num_last_channels,
            "num_linear": num_linear,
        }
        _check_sizes(self)
        channels = [num_powers] + [num_channels] * (depth - 1) + [num_last_channels]
        self.num_powers = num_powers
        self.layers = nn.ModuleList(
            GraphAttention(
                (width if i else num_features, attention_width if i else width, width),
                (channels[i], channels[i + 1]),
                num_heads,
                num_linear,
            )
            for i in range(depth)
        )
        total = sum(channels)
        self.readout = perceptron(total, 2 * total, 1, num_layers=3)

    def forward(self, state: GraphState) -> Tensor:
        """Return ``(B, N, N)`` for graphs with one batch axis."""
        num_nodes = state.mask.shape[-1]
        i, j = pair_indices(num_nodes, state.mask.device)
        present = (state.mask[:, i] & state.mask[:, j]).to(state.nodes.dtype).unsqueeze(-1)
        nodes, pairs = state.nodes, _powers(state.adjacency, self.num_powers)
        found = [pairs]
        for layer in self.layers:
            nodes, pairs = layer(nodes, pairs, state.mask, present)
            found.append(pairs)
        out = self.readout(torch.cat(found, -1)) * present
        return from_pairs(out.squeeze(-1), num_nodes)


def _check_sizes(network: NodeNetwork | AdjacencyNetwork) -> None:
    if min(network.settings.values()) < 1:
        raise ValueError(
            f"{type(network).__name__}: expected sizes of at least 1, got {network.settings}"
        )


def _powers(adjacency: Tensor, num_powers: int) -> Tensor:
    """Return A, A^2, ... of the pairs, shape ``(B, P, num_powers)``."""
    power, powers = adjacency, [to_pairs(adjacency)]
    for _ in range(num_powers - 1):
        power = power @ adjacency
        powers.append(to_pairs(power))
    return torch.stack(powers, -1)
