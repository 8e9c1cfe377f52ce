"""Guidance of the chapter."""

from __future__ import annotations

from invdiff.theory.chapter.fact import Section

__all__ = ["SECTION"]

SECTION = Section(
    "guidance",
    "Guidance",
    "What is added to a score to reach a conditional law, and what it reaches instead.",
    (),
)
