"""What is known of a graph: operators that keep the known entries of its vector."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.graphs.coordinates import GraphCoordinates
from invdiff.graphs.state import from_pairs, to_pairs
from operators import Mask

__all__ = ["draw_known_pairs", "observe_pairs", "observe_subgraph"]


def observe_pairs(
    coordinates: GraphCoordinates, known_pairs: Tensor, known_nodes: Tensor | None = None
) -> Mask:
    """Return the operator that keeps known pairs, and the features of known nodes.

    Args:
        coordinates: Of the graph.
        known_pairs: Symmetric boolean matrix ``(n, n)``, True where it is known whether there is
            an edge; the diagonal isn't read.
        known_nodes: Boolean ``(n,)``, True where all features are known; None for nowhere.

    Raises:
        ValueError: Matrices of another shape, kind or symmetry, or nothing that is known.
    """
    n, num_features = coordinates.node_shape
    if known_nodes is None:
        known_nodes = torch.zeros(n, dtype=torch.bool, device=known_pairs.device)
    _check("known_pairs", known_pairs, (n, n))
    _check("known_nodes", known_nodes, (n,))
    if not torch.equal(known_pairs, known_pairs.mT):
        raise ValueError("known_pairs: expected a symmetric matrix: a pair has no direction")
    features = known_nodes.unsqueeze(-1).expand(n, num_features).flatten()
    mask = torch.cat([features, to_pairs(known_pairs)])
    if not mask.any():
        raise ValueError("known_pairs: no pair of two nodes and no feature is known")
    return Mask(mask)


def observe_subgraph(coordinates: GraphCoordinates, known_nodes: Tensor) -> Mask:
    """Return the operator that keeps the subgraph of known nodes: its pairs and its features.

    Args:
        coordinates: Of the graph.
        known_nodes: Boolean ``(n,)``.

    Raises:
        ValueError: Another shape or kind, or nothing that is known.
    """
    _check("known_nodes", known_nodes, (coordinates.num_nodes,))
    inside = known_nodes.unsqueeze(-1) & known_nodes
    return observe_pairs(coordinates, inside, known_nodes)


def draw_known_pairs(num_nodes: int, num_hidden: int, *, generator: torch.Generator) -> Tensor:
    """Draw which pairs are known, ``(n, n)``: all but so many, each choice equally likely.

    Raises:
        ValueError: Nothing hidden, or nothing left to know.
    """
    num_pairs = num_nodes * (num_nodes - 1) // 2
    if not 0 < num_hidden < num_pairs:
        raise ValueError(f"num_hidden: expected 1 to {num_pairs - 1} pairs, got {num_hidden}")
    order = torch.randperm(num_pairs, generator=generator, device=generator.device)
    return from_pairs(order >= num_hidden, num_nodes)


def _check(name: str, mask: Tensor, shape: tuple[int, ...]) -> None:
    if mask.shape != shape or mask.dtype != torch.bool:
        raise ValueError(
            f"{name}: expected a boolean tensor {shape}, got {mask.dtype} {tuple(mask.shape)}"
        )
