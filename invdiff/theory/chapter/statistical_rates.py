"""Statistical rates: what samples, particles and dimensions do to errors."""

from __future__ import annotations

from invdiff.theory.chapter import (
    statistical_rates_conformal,
    statistical_rates_coverage,
    statistical_rates_distances,
    statistical_rates_ensemble,
    statistical_rates_evidence,
    statistical_rates_memory,
    statistical_rates_ranks,
    statistical_rates_resampling,
    statistical_rates_scores,
    statistical_rates_support,
)
from invdiff.theory.chapter.fact import Section

__all__ = ["SECTION"]

SECTION = Section(
    "statistical-rates",
    "Statistical rates",
    "How errors fall with samples, particles and the dimension of the data's support, and how "
    "to tell whether the spread of samples can be believed.",
    (
        *statistical_rates_support.FACTS,
        *statistical_rates_memory.FACTS,
        *statistical_rates_resampling.FACTS,
        *statistical_rates_ensemble.FACTS,
        *statistical_rates_evidence.FACTS,
        *statistical_rates_distances.FACTS,
        *statistical_rates_ranks.FACTS,
        *statistical_rates_coverage.FACTS,
        *statistical_rates_conformal.FACTS,
        *statistical_rates_scores.FACTS,
    ),
)
