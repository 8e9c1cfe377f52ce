"""Link probabilities that need no network: of independent edges, and of hidden communities."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from invdiff.graphs.state import pair_indices, to_pairs
from operators import NoiseModel

__all__ = ["MOST_NODES", "community_links", "independent_links"]

# above it there are too many ways to fall into two communities
MOST_NODES = 20


def independent_links(told: Tensor, noise: NoiseModel, density: float) -> Tensor:
    """Return the probability of each pair if edges were independent, ``(pairs,)``; float64.

    Args:
        told: Shape ``(n, n)``, NaN where unknown.
        noise: Of what is told.
        density: Probability of an edge.
    """
    one, zero = _outcomes(told, noise)
    odds = np.log(density) - np.log1p(-density)
    return (odds + one - zero).sigmoid()


def community_links(
    told: Tensor, noise: NoiseModel, *, inner: float = 0.7, outer: float = 0.05
) -> Tensor:
    r"""Return the exact probability of each pair if the graph is of two communities of equal size.

    Sums over all :math:`\binom{n}{n/2} / 2` ways in which the nodes may fall into them, which are
    equally likely; that ``community_graphs`` joins communities by at least one edge is left out.

    Args:
        told: Shape ``(n, n)``, NaN where unknown.
        noise: Of what is told.
        inner: Probability of an edge within a community.
        outer: Expected edges between them for each node.

    Raises:
        ValueError: An odd number of nodes, or more than 20.
    """
    num_nodes = len(told)
    if num_nodes % 2 or num_nodes > MOST_NODES:
        raise ValueError(f"community_links: expected 2, 4, ..., 20 nodes, got {num_nodes}")
    same = _same_community(num_nodes)
    one, zero = _outcomes(told, noise)
    high, low = (torch.tensor(p, dtype=one.dtype) for p in (inner, 4 * outer / num_nodes))
    within, between = (torch.logaddexp(p.log() + one, torch.log1p(-p) + zero) for p in (high, low))
    weights = (same @ (within - between)).softmax(0)
    inside = weights @ same
    odds_within, odds_between = (
        (p.log() - torch.log1p(-p) + one - zero).sigmoid() for p in (high, low)
    )
    return inside * odds_within + (1 - inside) * odds_between


def _same_community(num_nodes: int) -> Tensor:
    """Return 1 for pairs in one community, a row for each way; float64."""
    # the first node's community is named first
    others = np.array(list(combinations(range(1, num_nodes), num_nodes // 2 - 1)))
    member = np.zeros((len(others), num_nodes), dtype=bool)
    member[:, 0] = True
    np.put_along_axis(member, others, True, axis=1)
    i, j = pair_indices(num_nodes).numpy()
    return torch.from_numpy((member[:, i] == member[:, j]).astype(np.float64))


def _outcomes(told: Tensor, noise: NoiseModel) -> tuple[Tensor, Tensor]:
    """Return log p(told | edge) and log p(told | none), 0 where unknown."""
    y = to_pairs(told).double()
    known = ~y.isnan()
    filled = torch.where(known, y, 0.0)
    one, zero = (
        torch.where(known, noise.log_prob(filled, torch.full_like(filled, clean)), 0.0)
        for clean in (1.0, 0.0)
    )
    return one, zero
