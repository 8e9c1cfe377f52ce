"""Statistical rates of the chapter."""

from __future__ import annotations

from invdiff.theory.chapter.fact import Section

__all__ = ["SECTION"]

SECTION = Section(
    "statistical-rates",
    "Statistical rates",
    "How errors fall with samples, particles and the dimension of the data's support.",
    (),
)
