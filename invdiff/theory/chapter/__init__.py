"""The theory, executable: statements with checks, grouped by view."""

from invdiff.theory.chapter.fact import Fact, Reading, Relation, Section
from invdiff.theory.chapter.sections import SECTIONS
from invdiff.theory.chapter.verdict import Verdict, chosen, verify

__all__ = ["SECTIONS", "Fact", "Reading", "Relation", "Section", "Verdict", "chosen", "verify"]
