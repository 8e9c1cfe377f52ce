"""Solvers of the chapter."""

from __future__ import annotations

from invdiff.theory.chapter import (
    solvers_exponential,
    solvers_krylov,
    solvers_orders,
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
        *solvers_exponential.FACTS,
        *solvers_stochastic.FACTS,
        *solvers_krylov.FACTS,
    ),
)
