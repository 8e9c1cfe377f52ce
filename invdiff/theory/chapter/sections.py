"""The whole chapter, in the order in which it is read."""

from __future__ import annotations

from invdiff.theory.chapter import (
    flow_based,
    flow_maps,
    graphs_view,
    guidance,
    score_based,
    solvers,
    statistical_rates,
    variational,
)

__all__ = ["SECTIONS"]

SECTIONS = (
    variational.SECTION,
    score_based.SECTION,
    flow_based.SECTION,
    guidance.SECTION,
    solvers.SECTION,
    flow_maps.SECTION,
    graphs_view.SECTION,
    statistical_rates.SECTION,
)
