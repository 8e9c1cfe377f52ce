"""Statistical rates of the chapter."""

from __future__ import annotations

from invdiff.theory.chapter import (
    statistical_rates_ensemble,
    statistical_rates_resampling,
    statistical_rates_support,
)
from invdiff.theory.chapter.fact import Section

__all__ = ["SECTION"]

SECTION = Section(
    "statistical-rates",
    "Statistical rates",
    "How errors fall with samples, particles and the dimension of the data's support.",
    (
        *statistical_rates_support.FACTS,
        *statistical_rates_resampling.FACTS,
        *statistical_rates_ensemble.FACTS,
    ),
)
