"""Flow maps of the chapter."""

from __future__ import annotations

from invdiff.theory.chapter.fact import Section

__all__ = ["SECTION"]

SECTION = Section(
    "flow-maps",
    "Flow maps",
    "The solution of the flow as a function from one time to another, in one call.",
    (),
)
