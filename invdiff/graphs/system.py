"""The system of SDEs: node features and adjacency, each with a schedule of its own."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from invdiff.graphs.schedules import Schedule
from invdiff.graphs.state import GraphState
from invdiff.linalg import expand_right

__all__ = ["GraphSystem", "scaled_by"]


@dataclass(frozen=True)
class GraphSystem:
    r"""Forward SDEs of a graph :cite:p:`jo2022`, independent given the graph at time 0.

    .. math:: dX = f_1(t) X\, dt + g_1(t)\, dw_1, \qquad dA = f_2(t) A\, dt + g_2(t)\, dw_2

    Args:
        nodes: Schedule of X.
        adjacency: Schedule of A.
    """

    nodes: Schedule
    adjacency: Schedule

    def perturbed(self, clean: GraphState, t: Tensor, noise: GraphState) -> GraphState:
        """Return x_t for a clean graph and standard normal noise.

        Args:
            clean: Leading shape ``batch``.
            t: Time in [0, 1], 0-dimensional or ``batch``.
            noise: As from ``normal_noise``.
        """
        return self.scaled(clean, t).plus(self.spread(noise, t))

    def scaled(self, state: GraphState, t: Tensor) -> GraphState:
        """Return the state times the factors of the data at a time."""
        return scaled_by(state, self.nodes.scale(t), self.adjacency.scale(t))

    def spread(self, state: GraphState, t: Tensor) -> GraphState:
        """Return the state times the standard deviations of the noise at a time."""
        return scaled_by(state, self.nodes.std(t), self.adjacency.std(t))


def scaled_by(state: GraphState, nodes: Tensor, adjacency: Tensor) -> GraphState:
    """Return the state with each side times a number, 0-dimensional or one for each graph."""
    dtype = state.nodes.dtype
    a, b = (expand_right(v.to(dtype), 2) for v in (nodes, adjacency))
    return GraphState(a * state.nodes, b * state.adjacency, state.mask)
