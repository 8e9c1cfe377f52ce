"""Exponential integrators in the log-SNR of each side: second order for one call a step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.graphs.integrator import GraphCallback, GraphProgress, per_side, posterior_mean
from invdiff.graphs.reverse_times import Spacing, check_times, reverse_times
from invdiff.graphs.schedules import Schedule
from invdiff.graphs.scores import PartialScores
from invdiff.graphs.state import GraphState, masked, normal_noise
from invdiff.graphs.system import GraphSystem, scaled_by
from invdiff.rng import Streams

__all__ = ["Exponential"]


class _Past(NamedTuple):
    """The posterior mean at the start of a step, and the length h of the step on both sides."""

    mean: GraphState
    lengths: tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Exponential:
    r"""DPM-Solver++(2M) :cite:p:`lu2022plusplus` for the system, as an ODE or an SDE.

    X and A share the times and the posterior mean :math:`D = E[G_0 | X_t, A_t]`, but each is
    stepped in its own :math:`\lambda = -\ln \sigma`, with :math:`h = \lambda' - \lambda`:

    .. math:: x' = \tfrac{s'}{s} e^{-\eta^2 h} x + a' \bigl(1 - e^{-(1 + \eta^2) h}\bigr)
        \Bigl(D_i + \tfrac{h_i}{2 h_{i-1}} (D_i - D_{i-1})\Bigr)
        + s' \sqrt{1 - e^{-2 \eta^2 h}}\, z

    Where the scores are linear, the error of the moments falls with the square of the number of
    steps for any :math:`\eta`, and a start that has the mean of time 1 ends with the exact mean.

    Args:
        num_steps: Calls of the scores, at least 1.
        end: Time of the last call, in (0, 1).
        noise: :math:`\eta`: 0 is the probability-flow ODE, 1 the reverse SDE.
        spacing: What the times are evenly spaced in.
        rho: Exponent of the spacing "rho".
        denoise: Return the posterior mean at ``end``; otherwise the state there, after one step
            more on the way.

    Raises:
        ValueError: A number out of its range.
    """

    num_steps: int = 100
    end: float = 1e-4
    noise: float = 0.0
    spacing: Spacing = "rho"
    rho: float = 7.0
    denoise: bool = True

    def __post_init__(self) -> None:
        check_times(self, self.num_steps, self.end, self.spacing, self.rho)
        if not 0 <= self.noise < math.inf:
            raise ValueError(f"Exponential: expected noise >= 0, got {self.noise}")

    def run(
        self,
        scores: PartialScores,
        start: GraphState,
        streams: Streams,
        callback: GraphCallback | None = None,
    ) -> GraphState:
        """Return the graphs that the state at time 1 turns into; see ``GraphIntegrator``."""
        intervals = self.num_steps - self.denoise
        times = reverse_times(scores.system, intervals, self.end, self.spacing, self.rho)
        state, past = masked(start), None
        moments = times.to(start.nodes.device).unbind()
        for i, (t, following) in enumerate(pairwise(moments)):
            state, past = self._step(scores, streams, state, t, following, past)
            if callback is not None:
                callback(GraphProgress(i, self.num_steps, following, state))
        if self.denoise:
            state = posterior_mean(scores, state, moments[-1])
            if callback is not None:
                now = torch.zeros_like(moments[-1])
                callback(GraphProgress(intervals, self.num_steps, now, state))
        return state

    def _step(
        self,
        scores: PartialScores,
        streams: Streams,
        state: GraphState,
        t: Tensor,
        following: Tensor,
        past: _Past | None,
    ) -> tuple[GraphState, _Past]:
        system, mean = scores.system, posterior_mean(scores, state, t)
        h = per_side(system, lambda side: (side.sigma(t) / side.sigma(following)).log())
        target = mean if past is None else _extrapolated(_Past(mean, h), past)
        state = self._moved(system, state, target, t, following)
        if self.noise > 0:
            noise = normal_noise(state, streams)
            spread = per_side(system, lambda side: self._spread(side, t, following))
            state = state.plus(scaled_by(noise, *spread))
        return state, _Past(mean, h)

    def _moved(
        self,
        system: GraphSystem,
        state: GraphState,
        target: GraphState,
        t: Tensor,
        following: Tensor,
    ) -> GraphState:
        """Return the state that the linear terms and a constant posterior mean lead to."""

        def kept(side: Schedule) -> Tensor:
            ratio = side.sigma(following) / side.sigma(t)
            return side.std(following) / side.std(t) * ratio ** (self.noise**2)

        def pulled(side: Schedule) -> Tensor:
            ratio = side.sigma(following) / side.sigma(t)
            return side.scale(following) * (1 - ratio ** (1 + self.noise**2))

        near = scaled_by(target, *per_side(system, pulled))
        return scaled_by(state, *per_side(system, kept)).plus(near)

    def _spread(self, side: Schedule, t: Tensor, following: Tensor) -> Tensor:
        ratio = side.sigma(following) / side.sigma(t)
        return side.std(following) * (1 - ratio ** (2 * self.noise**2)).sqrt()


def _extrapolated(now: _Past, past: _Past) -> GraphState:
    """Return the mean in the middle of the step on the line through the last two."""
    shares = (h / (2 * before) for h, before in zip(now.lengths, past.lengths, strict=True))
    return now.mean.plus(scaled_by(now.mean.minus(past.mean), *shares))
