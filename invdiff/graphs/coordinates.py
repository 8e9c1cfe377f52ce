"""Graphs of one size as flat vectors, the images of samplers and operators."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.graphs.state import GraphState, from_pairs, to_pairs

__all__ = ["GraphCoordinates"]


@dataclass(frozen=True)
class GraphCoordinates:
    """Where features and pairs of a graph of n nodes stand in a vector.

    First the features, node by node, then the pairs i < j in row-major order: each free number
    of the graph once, so that noise on the vector is noise on the graph.

    Args:
        num_nodes: n, at least 2.
        num_features: F, of a node; 0 for a graph without features.

    Raises:
        ValueError: Fewer nodes or features.
    """

    num_nodes: int
    num_features: int = 0

    def __post_init__(self) -> None:
        if self.num_nodes < 2 or self.num_features < 0:
            raise ValueError(
                "GraphCoordinates: expected at least 2 nodes and 0 features, got "
                f"{self.num_nodes} and {self.num_features}"
            )

    @property
    def num_pairs(self) -> int:
        """Return n (n - 1) / 2."""
        return self.num_nodes * (self.num_nodes - 1) // 2

    @property
    def first_pair(self) -> int:
        """Return the index of the pair (0, 1)."""
        return self.num_nodes * self.num_features

    @property
    def size(self) -> int:
        """Return how many numbers the vector has."""
        return self.first_pair + self.num_pairs

    def pair_index(self, i: int, j: int) -> int:
        """Return the index of the pair of two nodes, in either order.

        Raises:
            ValueError: Nodes that aren't two different ones of 0 ... n - 1.
        """
        low, high = min(i, j), max(i, j)
        if not 0 <= low < high < self.num_nodes:
            raise ValueError(
                f"pair_index: expected two of the nodes 0 to {self.num_nodes - 1}, got {i}, {j}"
            )
        return self.first_pair + low * (2 * self.num_nodes - low - 1) // 2 + high - low - 1

    def to_vector(self, state: GraphState) -> Tensor:
        """Return ``(*batch, size)`` for graphs ``batch`` without padding; the mask isn't read.

        Raises:
            ValueError: Graphs of another size, or with another number of features.
        """
        expected = (self.num_nodes, self.num_features)
        found, square = tuple(state.nodes.shape[-2:]), tuple(state.adjacency.shape[-2:])
        if found != expected or square != (self.num_nodes, self.num_nodes):
            raise ValueError(
                f"graph: expected features {expected} and a square adjacency, got {found} and "
                f"{square}"
            )
        return torch.cat([state.nodes.flatten(-2), to_pairs(state.adjacency)], -1)

    def to_state(self, vector: Tensor) -> GraphState:
        """Return the graphs ``batch`` of vectors ``(*batch, size)``, with all nodes present.

        Raises:
            ValueError: Vectors of another size.
        """
        if vector.shape[-1] != self.size:
            raise ValueError(f"graph: expected {self.size} numbers, got {vector.shape[-1]}")
        batch = vector.shape[:-1]
        nodes = vector[..., : self.first_pair].reshape(*batch, *self.node_shape)
        adjacency = from_pairs(vector[..., self.first_pair :], self.num_nodes)
        present = torch.ones(*batch, self.num_nodes, dtype=torch.bool, device=vector.device)
        return GraphState(nodes, adjacency, present)

    @property
    def node_shape(self) -> tuple[int, int]:
        """Return (n, F)."""
        return self.num_nodes, self.num_features
