"""Heun's method for the probability-flow ODE of the system."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from invdiff.graphs.integrator import (
    GraphCallback,
    StepResult,
    follow,
    per_side,
    posterior_mean,
)
from invdiff.graphs.reverse_times import Spacing, check_times, reverse_times
from invdiff.graphs.scores import PartialScores
from invdiff.graphs.state import GraphState
from invdiff.graphs.system import scaled_by
from invdiff.rng import Streams

__all__ = ["GraphHeun"]


@dataclass(frozen=True)
class GraphHeun:
    r"""Heun steps of the probability-flow ODE :cite:p:`song2021`, second order.

    .. math:: \frac{dx}{dt} = f(t) x - \tfrac12 g(t)^2 \nabla \log p_t(X, A)

    Args:
        num_steps: At least 1, of two calls of the scores each.
        end: Time at which the ODE ends, in (0, 1).
        spacing: What the times are evenly spaced in.
        rho: Exponent of the spacing "rho".
        denoise: Return the posterior mean at ``end``, for one more call.

    Raises:
        ValueError: A number out of its range.
    """

    num_steps: int = 50
    end: float = 1e-4
    spacing: Spacing = "time"
    rho: float = 7.0
    denoise: bool = True

    def __post_init__(self) -> None:
        check_times(self, self.num_steps, self.end, self.spacing, self.rho)

    def run(
        self,
        scores: PartialScores,
        start: GraphState,
        streams: Streams,
        callback: GraphCallback | None = None,
    ) -> GraphState:
        """Return the graphs that the state at time 1 turns into; see ``GraphIntegrator``."""
        times = reverse_times(scores.system, self.num_steps, self.end, self.spacing, self.rho)

        def step(state: GraphState, t: Tensor, following: Tensor) -> StepResult:
            state = _heun_step(scores, state, t, following)
            return StepResult(state, state)

        state = follow(step, times, start, self.denoise, callback)
        if not self.denoise:
            return state
        return posterior_mean(scores, state, times[-1].to(start.nodes.device))


def _heun_step(
    scores: PartialScores, state: GraphState, t: Tensor, following: Tensor
) -> GraphState:
    step = following - t
    slope = _slope(scores, state, t)
    euler = state.plus(scaled_by(slope, step, step))
    both = slope.plus(_slope(scores, euler, following))
    return state.plus(scaled_by(both, step / 2, step / 2))


def _slope(scores: PartialScores, state: GraphState, t: Tensor) -> GraphState:
    linear = per_side(scores.system, lambda side: side.drift_rate(t))
    pull = per_side(scores.system, lambda side: side.diffusion(t) ** 2 / 2)
    return scaled_by(state, *linear).minus(scaled_by(scores(state, t), *pull))
