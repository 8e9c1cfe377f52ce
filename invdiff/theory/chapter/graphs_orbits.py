"""Counts of small subgraphs, by products of matrices and by looking at each."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from invdiff.graphs import orbit_counts
from invdiff.rng import derive_generator
from invdiff.theory.chapter.drawing import COLORS, GREY
from invdiff.theory.chapter.fact import Fact, Reading

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

# place of a node by its degree, for the degrees that a connected subgraph may have
_PLACES = {
    (1, 1): {1: 0},
    (1, 1, 2): {1: 1, 2: 2},
    (2, 2, 2): {2: 3},
    (1, 1, 2, 2): {1: 4, 2: 5},
    (1, 1, 1, 3): {1: 6, 3: 7},
    (2, 2, 2, 2): {2: 8},
    (1, 2, 2, 3): {1: 9, 2: 10, 3: 11},
    (2, 2, 3, 3): {2: 12, 3: 13},
    (3, 3, 3, 3): {3: 14},
}


def _orbits() -> Reading:
    generator = derive_generator(0, "orbits")
    measured, exact = [], []
    for _ in range(20):
        upper = torch.rand(7, 7, generator=generator).triu(1) > 0.5
        graph = (upper | upper.T).numpy().astype(int)
        measured.append(orbit_counts(graph))
        exact.append(_enumerated(graph))
    found, true = np.concatenate(measured), np.concatenate(exact)
    return Reading(
        float(np.abs(found - true).max()),
        0.0,
        0.0,
        "whole numbers",
        lambda axes: _draw_orbits(axes, found.sum(0), true.sum(0)),
    )


def _enumerated(graph: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count by looking at every subset of 2, 3 and 4 nodes."""
    counts = np.zeros((len(graph), 15), dtype=np.int64)
    for size in (2, 3, 4):
        for nodes in combinations(range(len(graph)), size):
            degrees = graph[np.ix_(nodes, nodes)].sum(0).tolist()
            places = _PLACES.get(tuple(sorted(degrees)), {})
            for node, degree in zip(nodes, degrees, strict=True):
                if places:
                    counts[node, places[degree]] += 1
    return counts


def _draw_orbits(axes: Axes, found: NDArray[np.int64], true: NDArray[np.int64]) -> None:
    orbit = np.arange(15)
    axes.bar(orbit, true, color=GREY, alpha=0.4, label="every subset looked at")
    axes.plot(orbit, found, ".", color=COLORS[0], label="products of the adjacency")
    axes.set(xlabel="orbit", ylabel="count in 20 graphs of 7 nodes")
    axes.legend(frameon=False, fontsize=7)


FACTS = (
    Fact(
        "orbit-counts",
        "How often a node sits in each place of a small connected subgraph follows from products "
        "of the adjacency, without looking at every subset.",
        r"\sum_y \binom{(A^2)_{xy}}{2} = o_8 + o_{12} + o_{13} + 3\, o_{14}",
        ("przulj2007", "hocevar2014"),
        _orbits,
    ),
)
