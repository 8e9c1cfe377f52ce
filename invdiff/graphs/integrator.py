"""What the integrators of the reverse system agree on, and the loop that they share."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple, Protocol

from torch import Tensor

from invdiff.graphs.schedules import Schedule
from invdiff.graphs.scores import PartialScores
from invdiff.graphs.state import GraphState, masked
from invdiff.graphs.system import GraphSystem, scaled_by
from invdiff.rng import Streams

__all__ = [
    "GraphCallback",
    "GraphIntegrator",
    "GraphProgress",
    "StepResult",
    "follow",
    "per_side",
    "posterior_mean",
    "transition_variance",
]


class GraphProgress(NamedTuple):
    """One step as a callback sees it; everything stays on the device.

    Args:
        step: From 0 to ``num_steps - 1``.
        num_steps: Steps in all.
        t: Time that the step reached, 0-dimensional.
        state: The graphs there.
    """

    step: int
    num_steps: int
    t: Tensor
    state: GraphState


GraphCallback = Callable[[GraphProgress], None]


class GraphIntegrator(Protocol):
    """A way from noise to graphs along the reverse system."""

    def run(
        self,
        scores: PartialScores,
        start: GraphState,
        streams: Streams,
        callback: GraphCallback | None = None,
    ) -> GraphState:
        """Return the graphs that the state at time 1 turns into.

        The host never waits for the device, as long as the scores don't make it.

        Args:
            scores: Of the system to reverse.
            start: Graphs at time 1, ``batch``.
            streams: One stream for each graph; with them, a graph doesn't depend on the others.
            callback: Called after each step.
        """
        ...


class StepResult(NamedTuple):
    """Where a step ends: the state, and its mean before the last noise of the step."""

    state: GraphState
    mean: GraphState


Step = Callable[[GraphState, Tensor, Tensor], StepResult]


def follow(
    step: Step, times: Tensor, start: GraphState, denoise: bool, callback: GraphCallback | None
) -> GraphState:
    """Make the steps between the times; the last one without its noise if ``denoise``.

    Args:
        step: Takes a state, its time and the next time.
        times: Decreasing, float64, shape ``(num_steps + 1,)``.
        start: The state at the first of them.
        denoise: Whether the mean of the last step is returned.
        callback: Called after each step.
    """
    state, num_steps = masked(start), len(times) - 1
    for i, (t, following) in enumerate(pairwise(times.to(start.nodes.device).unbind())):
        result = step(state, t, following)
        state = result.mean if denoise and i == num_steps - 1 else result.state
        if callback is not None:
            callback(GraphProgress(i, num_steps, following, state))
    return state


def per_side(system: GraphSystem, value: Callable[[Schedule], Tensor]) -> tuple[Tensor, Tensor]:
    """Return what a function tells of the schedules of nodes and adjacency."""
    return value(system.nodes), value(system.adjacency)


def posterior_mean(scores: PartialScores, state: GraphState, t: Tensor) -> GraphState:
    r"""Return :math:`E[G_0 | X_t, A_t] = (x + s^2 \nabla \log p_t) / a`, by Tweedie's formula."""
    noise = per_side(scores.system, lambda side: side.std(t) ** 2)
    data = per_side(scores.system, lambda side: 1 / side.scale(t))
    return scaled_by(state.plus(scaled_by(scores(state, t), *noise)), *data)


def transition_variance(schedule: Schedule, t: Tensor, following: Tensor) -> Tensor:
    r"""Return the variance of x_t given x at an earlier time t', in the forward SDE.

    .. math:: s(t)^2 - \frac{a(t)^2}{a(t')^2} s(t')^2 = a(t)^2 (\sigma(t)^2 - \sigma(t')^2)

    For ``VP`` it is :math:`1 - e^{-B}` with the integral B of beta, for ``VE`` the difference of
    the variances.
    """
    ratio = schedule.scale(t) / schedule.scale(following)
    return (schedule.std(t) ** 2 - (ratio * schedule.std(following)) ** 2).clamp(min=0)
