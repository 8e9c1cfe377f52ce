"""Between networkx graphs and tensors."""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from invdiff.graphs.state import GraphState, flattened, from_pairs, masked, size_mask, to_pairs

__all__ = ["decode_graphs", "encode_graphs", "quantized"]


def encode_graphs(graphs: Sequence[nx.Graph], max_nodes: int, num_features: int) -> GraphState:
    """Return adjacencies of 0 and 1, with the degree of each node, one-hot, as its features.

    An isolated node is a node, of degree 0; the published code takes it for padding.

    Args:
        graphs: G of them, without directions or self loops; weights are ignored.
        max_nodes: N, to which they are padded.
        num_features: F; degrees are less than that.

    Returns:
        ``nodes`` of shape ``(G, N, F)`` and ``adjacency`` ``(G, N, N)``, float32.

    Raises:
        ValueError: No graphs, or one that has no place: empty, with too many nodes, a degree
            too large, directions, or a self loop.
    """
    if not graphs:
        raise ValueError("graphs: expected at least one, got none")
    for graph in graphs:
        _check_simple(graph)
    mask = size_mask(torch.tensor([len(graph) for graph in graphs]), max_nodes)
    adjacency = torch.zeros(len(graphs), max_nodes, max_nodes)
    for row, graph in zip(adjacency, graphs, strict=True):
        found = nx.to_numpy_array(graph, dtype=np.float32, weight=None)
        row[: len(graph), : len(graph)] = torch.from_numpy(found)
    degrees = adjacency.sum(-1).long()
    largest = int(degrees.max())
    if largest >= num_features:
        raise ValueError(
            f"num_features: expected more than the largest degree, {largest}, got {num_features}"
        )
    return masked(GraphState(one_hot(degrees, num_features).float(), adjacency, mask))


def decode_graphs(
    state: GraphState, threshold: float = 0.5, *, keep_isolated: bool = False
) -> list[nx.Graph]:
    """Return the graphs whose edges are the entries of A at or above a threshold.

    Args:
        state: Of any leading shape; it is flattened. Padded nodes are left out.
        threshold: Least entry that is an edge.
        keep_isolated: Keep nodes without edges; else they are removed, but for one node of a
            graph without any edge.

    Returns:
        Graphs with nodes 0, 1, ..., on the CPU.

    Raises:
        ValueError: An entry of A that isn't a finite number.
    """
    flat = flattened(state)
    edges = _finite(flat.adjacency) >= threshold
    # the lower triangle of a state repeats the upper one
    edges = from_pairs(to_pairs(edges), edges.shape[-1])
    edges = edges & flat.mask.unsqueeze(-1) & flat.mask.unsqueeze(-2)
    kept = flat.mask if keep_isolated else _linked(edges, flat.mask)
    return [
        nx.from_numpy_array(matrix[rows][:, rows].numpy().astype(int))
        for matrix, rows in zip(edges.cpu(), kept.cpu(), strict=True)
    ]


def quantized(adjacency: Tensor, num_levels: int = 2) -> Tensor:
    """Round entries to 0, 1, ..., ``num_levels - 1``, such as orders of bonds; halves go up.

    Args:
        adjacency: Of any shape.
        num_levels: 2 for edges that are there or not, 4 for bonds.

    Raises:
        ValueError: Fewer than two levels, or an entry that isn't a finite number.
    """
    if num_levels < 2:
        raise ValueError(f"num_levels: expected at least 2, got {num_levels}")
    steps = torch.arange(num_levels - 1, device=adjacency.device, dtype=adjacency.dtype) + 0.5
    return torch.bucketize(_finite(adjacency), steps, right=True).to(adjacency.dtype)


def _finite(adjacency: Tensor) -> Tensor:
    if not bool(adjacency.isfinite().all()):
        raise ValueError("adjacency: expected finite numbers, got others")
    return adjacency.contiguous()


def _check_simple(graph: nx.Graph) -> None:
    if graph.is_directed() or graph.is_multigraph():
        raise ValueError(f"graphs: expected plain graphs, got a {type(graph).__name__}")
    if nx.number_of_selfloops(graph):
        loop = next(nx.selfloop_edges(graph))
        raise ValueError(f"graphs: expected no self loops, got edge {loop}")


def _linked(edges: Tensor, mask: Tensor) -> Tensor:
    """Return which nodes have edges, or the first of the mask where no node has one."""
    linked = edges.any(-1)
    first = mask & (mask.cumsum(-1) == 1)
    return torch.where(linked.any(-1, keepdim=True), linked, first)
