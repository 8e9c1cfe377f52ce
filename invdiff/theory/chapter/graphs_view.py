"""Graphs: one law of two sides, without a first node."""

from __future__ import annotations

from invdiff.theory.chapter import (
    graph_facts_orbits,
    graph_facts_scores,
    graph_facts_symmetry,
    graph_facts_system,
)
from invdiff.theory.chapter.fact import Section

__all__ = ["SECTION"]

SECTION = Section(
    "graphs",
    "Graphs",
    "Node features and pairs of nodes diffuse side by side, each guided by a score that sees both; "
    "nothing depends on how the nodes are numbered.",
    (
        *graph_facts_scores.FACTS,
        *graph_facts_system.FACTS,
        *graph_facts_symmetry.FACTS,
        *graph_facts_orbits.FACTS,
    ),
)
