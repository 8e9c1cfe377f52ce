"""The score-based view: what a denoiser knows about the density."""

from __future__ import annotations

from invdiff.theory.chapter import (
    score_based_langevin,
    score_based_losses,
    score_based_parametrisations,
    score_based_posterior,
    score_based_reversal,
    score_based_structure,
    score_based_student,
    score_based_tweedie,
)
from invdiff.theory.chapter.fact import Section

__all__ = ["SECTION"]

SECTION = Section(
    "score-based",
    "The score-based view",
    "Noise of every level makes a density smooth, and its score is all that a denoiser knows.",
    (
        *score_based_tweedie.FACTS,
        *score_based_parametrisations.FACTS,
        *score_based_losses.FACTS,
        *score_based_posterior.FACTS,
        *score_based_structure.FACTS,
        *score_based_langevin.FACTS,
        *score_based_reversal.FACTS,
        *score_based_student.FACTS,
    ),
)
