"""Flow maps: what the solution of a flow is as a function, and how to have it in one step."""

from __future__ import annotations

from invdiff.theory.chapter import (
    flow_maps_boundary,
    flow_maps_bridge,
    flow_maps_equations,
    flow_maps_gaussian,
    flow_maps_one_step,
    flow_maps_reflow,
    flow_maps_transport,
)
from invdiff.theory.chapter.fact import Section

__all__ = ["SECTION"]

SECTION = Section(
    "flow-maps",
    "Flow maps",
    "The solution of the flow as a function from one time to another, in one call.",
    (
        *flow_maps_gaussian.FACTS,
        *flow_maps_equations.FACTS,
        *flow_maps_reflow.FACTS,
        *flow_maps_one_step.FACTS,
        *flow_maps_transport.FACTS,
        *flow_maps_bridge.FACTS,
        *flow_maps_boundary.FACTS,
    ),
)
