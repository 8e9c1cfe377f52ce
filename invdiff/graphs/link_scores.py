"""Scores of links that need no prior, and how well a score ranks them."""

from __future__ import annotations

import networkx as nx
import torch
from scipy import stats
from torch import Tensor

__all__ = ["link_scores", "ranking_auc"]


def link_scores(adjacency: Tensor, pairs: Tensor) -> dict[str, Tensor]:
    r"""Return what the known neighbours say of pairs of nodes, float64 ``(count,)`` for each score.

    With the neighbours N of a node and its degree d, by :cite:t:`liben2007`:

    .. math:: |N_i \cap N_j|, \qquad \sum_{z \in N_i \cap N_j} \frac{1}{\log d_z}, \qquad
        \frac{|N_i \cap N_j|}{|N_i \cup N_j|}, \qquad d_i d_j

    Args:
        adjacency: Shape ``(n, n)``, symmetric, 1 where there is an edge; unknown pairs (NaN)
            count as none.
        pairs: Integers ``(count, 2)``, two different nodes each.

    Raises:
        ValueError: Matrices of another shape, or pairs that aren't two different nodes.
    """
    if adjacency.ndim != 2 or pairs.ndim != 2 or pairs.shape[1] != 2:
        raise ValueError(
            f"link_scores: expected (n, n) and (count, 2), got {tuple(adjacency.shape)} and "
            f"{tuple(pairs.shape)}"
        )
    strange = ((pairs < 0) | (pairs >= len(adjacency))).any(-1) | (pairs[:, 0] == pairs[:, 1])
    if strange.any():
        raise ValueError(
            f"link_scores: expected two of the nodes 0 to {len(adjacency) - 1}, got "
            f"{pairs[strange][0].tolist()}"
        )
    graph = nx.from_numpy_array((adjacency > 0.5).numpy(force=True).astype(int))
    asked = [tuple(pair) for pair in pairs.tolist()]
    found = {
        "common_neighbors": [len(nx.common_neighbors(graph, i, j)) for i, j in asked],
        "adamic_adar": [score for *_, score in nx.adamic_adar_index(graph, asked)],
        "jaccard": [score for *_, score in nx.jaccard_coefficient(graph, asked)],
        "preferential_attachment": [s for *_, s in nx.preferential_attachment(graph, asked)],
    }
    return {name: torch.tensor(v, dtype=torch.float64) for name, v in found.items()}


def ranking_auc(scores: Tensor, edges: Tensor) -> float:
    r"""Return the area under the ROC curve: P(an edge scores higher than a pair without one).

    .. math:: \mathrm{AUC} = \frac{R_1 - m_1 (m_1 + 1) / 2}{m_1 m_0}

    with the sum :math:`R_1` of the ranks of the :math:`m_1` edges; ties count one half.

    Args:
        scores: Shape ``(count,)``.
        edges: Boolean ``(count,)``, True for an edge.

    Raises:
        ValueError: Other shapes, or pairs of one kind only.
    """
    count, num_edges = edges.numel(), int(edges.sum())
    if scores.shape != edges.shape or edges.dtype != torch.bool or not 0 < num_edges < count:
        raise ValueError(
            f"ranking_auc: expected scores of edges and others, got {tuple(scores.shape)} scores, "
            f"{num_edges} edges of {count} ({edges.dtype})"
        )
    ranks = stats.rankdata(scores.numpy(force=True))
    above = ranks[edges.numpy(force=True)].sum() - num_edges * (num_edges + 1) / 2
    return float(above / (num_edges * (count - num_edges)))
