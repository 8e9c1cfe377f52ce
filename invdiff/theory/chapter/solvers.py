"""Solvers of the chapter."""

from __future__ import annotations

from invdiff.theory.chapter.fact import Section

__all__ = ["SECTION"]

SECTION = Section(
    "solvers",
    "Solvers",
    "How fast the error of a numerical method falls, for the mean of a law and for one path.",
    (),
)
