"""flow-based view of the chapter."""

from __future__ import annotations

from invdiff.theory.chapter.fact import Section

__all__ = ["SECTION"]

SECTION = Section(
    "flow-based",
    "The flow-based view",
    "One velocity carries a density to another, with any amount of noise added on the way.",
    (),
)
