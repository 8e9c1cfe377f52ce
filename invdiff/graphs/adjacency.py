"""Simple graphs as symmetric matrices of zeros and ones."""

from __future__ import annotations

from typing import TypeAlias

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

__all__ = ["AnyGraph", "IntArray", "as_adjacency", "as_networkx"]

IntArray: TypeAlias = NDArray[np.int64]
AnyGraph: TypeAlias = "ArrayLike | Tensor | nx.Graph"


def as_adjacency(graph: AnyGraph) -> IntArray:
    """Return the adjacency ``(n, n)`` of a simple graph, with entries 0 and 1.

    Args:
        graph: Symmetric array or tensor of zeros and ones with a zero diagonal, or a networkx
            graph, whose weights are left out.

    Raises:
        ValueError: Another shape, an edge from a node to itself or in one direction only, or an
            entry that is neither 0 nor 1.
    """
    found = _as_array(graph)
    if found.ndim != 2 or found.shape[0] != found.shape[1]:
        raise ValueError(f"adjacency: expected shape (n, n), got {found.shape}")
    strange = found[(found != 0) & (found != 1)]
    if strange.size:
        raise ValueError(f"adjacency: expected entries 0 and 1, got {strange[0]}")
    if (found != found.T).any():
        raise ValueError(f"adjacency: expected a symmetric matrix, got {found.tolist()}")
    if found.diagonal().any():
        raise ValueError(f"adjacency: expected a zero diagonal, got {found.diagonal().tolist()}")
    return found.astype(np.int64)


def as_networkx(adjacency: IntArray) -> nx.Graph:
    """Return the networkx graph of an adjacency from ``as_adjacency``; nodes are 0 ... n - 1."""
    graph = nx.empty_graph(len(adjacency))
    graph.add_edges_from(np.argwhere(np.triu(adjacency)).tolist())
    return graph


def _as_array(graph: AnyGraph) -> NDArray[np.generic]:
    if isinstance(graph, nx.Graph):
        return np.asarray(nx.to_numpy_array(graph, weight=None))
    if isinstance(graph, Tensor):
        return graph.detach().cpu().numpy()
    return np.asarray(graph)
