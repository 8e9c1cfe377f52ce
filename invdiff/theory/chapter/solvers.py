"""Solvers: how fast the errors of numerical methods fall."""

from __future__ import annotations

from invdiff.theory.chapter import (
    solvers_ancestral,
    solvers_flows,
    solvers_grids,
    solvers_krylov,
    solvers_orders,
    solvers_paths,
    solvers_reverse_sde,
    solvers_stochastic,
)
from invdiff.theory.chapter.fact import Section

__all__ = ["SECTION"]

SECTION = Section(
    "solvers",
    "Solvers",
    "How fast the error of a numerical method falls, for the mean of a law and for one path.",
    (
        *solvers_orders.FACTS,
        *solvers_flows.FACTS,
        *solvers_paths.FACTS,
        *solvers_grids.FACTS,
        *solvers_ancestral.FACTS,
        *solvers_stochastic.FACTS,
        *solvers_reverse_sde.FACTS,
        *solvers_krylov.FACTS,
    ),
)
