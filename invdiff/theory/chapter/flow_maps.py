"""Flow maps of the chapter."""

from __future__ import annotations

from invdiff.theory.chapter import (
    flow_maps_boundary,
    flow_maps_bridge,
    flow_maps_gaussian,
    flow_maps_reflow,
)
from invdiff.theory.chapter.fact import Section

__all__ = ["SECTION"]

SECTION = Section(
    "flow-maps",
    "Flow maps",
    "The solution of the flow as a function from one time to another, in one call.",
    (
        *flow_maps_gaussian.FACTS,
        *flow_maps_reflow.FACTS,
        *flow_maps_bridge.FACTS,
        *flow_maps_boundary.FACTS,
    ),
)
