"""A batch of graphs with node features, padded to a common size."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.rng import Streams

__all__ = [
    "GraphState",
    "flattened",
    "from_pairs",
    "masked",
    "normal_noise",
    "pair_indices",
    "size_mask",
    "to_pairs",
]


class GraphState(NamedTuple):
    """Node features and a symmetric adjacency; also what has their shapes, such as scores.

    Args:
        nodes: Features X, shape ``(*batch, N, F)``; zero where there is no node.
        adjacency: A, shape ``(*batch, N, N)``; symmetric with a zero diagonal.
        mask: True where there is a node, shape ``(*batch, N)``.
    """

    nodes: Tensor
    adjacency: Tensor
    mask: Tensor

    def plus(self, other: GraphState) -> GraphState:
        """Return the sum of features and adjacencies, with this mask."""
        return GraphState(self.nodes + other.nodes, self.adjacency + other.adjacency, self.mask)

    def minus(self, other: GraphState) -> GraphState:
        """Return the difference of features and adjacencies, with this mask."""
        return GraphState(self.nodes - other.nodes, self.adjacency - other.adjacency, self.mask)


def size_mask(sizes: Tensor, max_nodes: int) -> Tensor:
    """Return the mask ``(*batch, max_nodes)`` of graphs with so many nodes, ``batch``.

    Raises:
        ValueError: A size that is not in 1 ... ``max_nodes``.
    """
    if sizes.numel() and not (int(sizes.min()) > 0 and int(sizes.max()) <= max_nodes):
        raise ValueError(
            f"sizes: expected 1 to {max_nodes} nodes, got {int(sizes.min())} to {int(sizes.max())}"
        )
    return torch.arange(max_nodes, device=sizes.device) < sizes.unsqueeze(-1)


def pair_indices(num_nodes: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the pairs i < j in row-major order, shape ``(2, N (N - 1) / 2)``."""
    return torch.triu_indices(num_nodes, num_nodes, offset=1, device=device)


def to_pairs(matrix: Tensor) -> Tensor:
    """Return the entries above the diagonal of ``(..., N, N)``, shape ``(..., N (N - 1) / 2)``."""
    i, j = pair_indices(matrix.shape[-1], matrix.device)
    return matrix[..., i, j]


def from_pairs(pairs: Tensor, num_nodes: int) -> Tensor:
    """Return the symmetric matrix with a zero diagonal whose upper entries are given.

    Args:
        pairs: Shape ``(..., N (N - 1) / 2)``, as from ``to_pairs``.
        num_nodes: N.
    """
    i, j = pair_indices(num_nodes, pairs.device)
    matrix = pairs.new_zeros(*pairs.shape[:-1], num_nodes, num_nodes)
    matrix[..., i, j] = pairs
    matrix[..., j, i] = pairs
    return matrix


def masked(state: GraphState) -> GraphState:
    """Return the state with zeros where there is no node, and on the diagonal."""
    present = state.mask.to(state.nodes.dtype)
    pairs = present.unsqueeze(-1) * present.unsqueeze(-2)
    pairs = pairs * (1 - torch.eye(pairs.shape[-1], dtype=pairs.dtype, device=pairs.device))
    return GraphState(state.nodes * present.unsqueeze(-1), state.adjacency * pairs, state.mask)


def flattened(state: GraphState) -> GraphState:
    """Return the state with one batch axis."""
    # -1 would be ambiguous without features
    count, num_nodes = state.nodes.shape[:-2].numel(), state.nodes.shape[-2]
    return GraphState(
        state.nodes.reshape(count, *state.nodes.shape[-2:]),
        state.adjacency.reshape(count, num_nodes, num_nodes),
        state.mask.expand(state.nodes.shape[:-1]).reshape(count, num_nodes),
    )


def normal_noise(like: GraphState, streams: Streams) -> GraphState:
    """Draw standard normals in the shape of a state: one for each feature and for each pair.

    Args:
        like: Gives shapes, dtype and mask; its leading shape is that of the streams.
        streams: One stream for each graph.
    """
    num_nodes = like.mask.shape[-1]
    nodes = streams.normal(like.nodes.shape[-2:], like.nodes)
    pairs = streams.normal((num_nodes * (num_nodes - 1) // 2,), like.adjacency)
    return masked(GraphState(nodes, from_pairs(pairs, num_nodes), like.mask))
