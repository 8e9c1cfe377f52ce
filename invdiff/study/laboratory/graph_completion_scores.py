"""How well link probabilities rank the pairs of a graph, and how far they can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from invdiff.graphs.link_scores import ranking_auc
from invdiff.graphs.state import to_pairs
from invdiff.study.laboratory.graph_completion_cases import Case

__all__ = [
    "calibration_error",
    "case_slices",
    "link_table",
    "ranking_scores",
    "reliability",
    "unrepeated",
    "wrong_shares",
]

# no probability is taken for more certain than that
_LEAST = 1e-4


def case_slices(cases: Sequence[Case]) -> list[slice]:
    """Return where the pairs of each graph stand in a row of all."""
    ends = np.cumsum([len(case.asked) for case in cases])
    return [slice(int(e) - len(c.asked), int(e)) for e, c in zip(ends, cases, strict=True)]


def ranking_scores(links: NDArray[Any], cases: Sequence[Case]) -> list[float]:
    """Return the area under the ROC curve over the pairs asked for, a number for each graph."""
    found = []
    for part, case in zip(case_slices(cases), cases, strict=True):
        asked, edges = case.asked, to_pairs(case.adjacency).bool()
        found.append(ranking_auc(torch.from_numpy(links[part])[asked], edges[asked]))
    return found


def link_table(links: NDArray[Any], cases: Sequence[Case]) -> dict[str, list[float]]:
    """Return the scores of probabilities over the pairs asked for, a list over the graphs each.

    Returns:
        ``auc``; ``log_loss`` in nats a pair and ``brier``; and ``error``, the share of pairs on
        which the graph of all links above 1/2 is wrong.
    """
    table: dict[str, list[float]] = {"auc": ranking_scores(links, cases)}
    for part, case in zip(case_slices(cases), cases, strict=True):
        asked = case.asked.numpy()
        p, edges = links[part][asked], to_pairs(case.adjacency).bool().numpy()[asked]
        right = np.where(edges, p, 1 - p).clip(_LEAST, 1)
        for name, values in (
            ("log_loss", -np.log(right)),
            ("brier", (p - edges) ** 2),
            ("error", (p > 0.5) != edges),
        ):
            table.setdefault(name, []).append(float(np.mean(values)))
    return table


def reliability(
    links: NDArray[Any], cases: Sequence[Case], num_bins: int
) -> dict[str, NDArray[Any]]:
    """Return mean probability, share of edges and number of pairs in bins of equal width.

    Args:
        links: Of all pairs of all graphs.
        cases: The graphs; their pairs are pooled.
        num_bins: Of [0, 1].
    """
    asked = np.concatenate([case.asked.numpy() for case in cases])
    edges = np.concatenate([to_pairs(case.adjacency).numpy() for case in cases])[asked]
    p = links[asked]
    bins = np.minimum((p * num_bins).astype(int), num_bins - 1)
    counts = np.bincount(bins, minlength=num_bins)
    sums = (np.bincount(bins, weights=v, minlength=num_bins) for v in (p, edges))
    mean, share = (s / np.maximum(counts, 1) for s in sums)
    return {"mean": mean, "share": share, "count": counts}


def calibration_error(curve: dict[str, NDArray[Any]]) -> float:
    r"""Return :math:`\sum_b \frac{n_b}{n} |\bar p_b - \bar a_b|` of ``reliability``."""
    weights = curve["count"] / curve["count"].sum()
    return float(weights @ np.abs(curve["mean"] - curve["share"]))


def unrepeated(cases: Sequence[Case], groups: Sequence[int]) -> list[Case]:
    """Return the cases, with nothing asked of graphs that are isomorphic to a training graph."""
    return [
        case if group else case._replace(asked=torch.zeros_like(case.asked))
        for case, group in zip(cases, groups, strict=True)
    ]


def wrong_shares(cases: Sequence[Case]) -> list[float]:
    """Return the share of the pairs that each graph is told wrongly."""
    return [
        float((to_pairs(case.told) != to_pairs(case.adjacency)).double().mean()) for case in cases
    ]
