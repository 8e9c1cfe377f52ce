"""The flow-based view: one velocity, any amount of noise."""

from __future__ import annotations

from invdiff.theory.chapter import (
    flow_based_bounds,
    flow_based_combinations,
    flow_based_equations,
    flow_based_errors,
    flow_based_likelihood,
    flow_based_marginals,
    flow_based_point_source,
    flow_based_probes,
)
from invdiff.theory.chapter.fact import Section

__all__ = ["SECTION"]

SECTION = Section(
    "flow-based",
    "The flow-based view",
    "One velocity carries a density to another, with any amount of noise added on the way.",
    (
        *flow_based_equations.FACTS,
        *flow_based_marginals.FACTS,
        *flow_based_likelihood.FACTS,
        *flow_based_probes.FACTS,
        *flow_based_bounds.FACTS,
        *flow_based_errors.FACTS,
        *flow_based_point_source.FACTS,
        *flow_based_combinations.FACTS,
    ),
)
