"""Graphs: one law of two sides, without a first node."""

from __future__ import annotations

from invdiff.theory.chapter import (
    graphs_orbits,
    graphs_scores,
    graphs_symmetry,
    graphs_system,
)
from invdiff.theory.chapter.fact import Section

__all__ = ["SECTION"]

SECTION = Section(
    "graphs",
    "Graphs",
    "Node features and pairs of nodes diffuse side by side, each guided by a score that sees both; "
    "nothing depends on how the nodes are numbered.",
    (
        *graphs_scores.FACTS,
        *graphs_system.FACTS,
        *graphs_symmetry.FACTS,
        *graphs_orbits.FACTS,
    ),
)
