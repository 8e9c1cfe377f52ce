"""Symmetric splitting of the reverse SDEs: one call of the scores corrects and predicts."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor
from typing_extensions import override

from invdiff.graphs.corrector import Langevin, step_factors
from invdiff.graphs.integrator import (
    StepResult,
    per_side,
    transition_variance,
)
from invdiff.graphs.reverse_times import check_times
from invdiff.graphs.schedules import Schedule
from invdiff.graphs.scores import PartialScores
from invdiff.graphs.state import GraphState, normal_noise
from invdiff.graphs.stepper import Stepper
from invdiff.graphs.system import GraphSystem, scaled_by
from invdiff.rng import Streams

__all__ = ["Splitting"]


@dataclass(frozen=True)
class Splitting(Stepper):
    r"""The S4 solver of :cite:t:`jo2022`: :math:`e^{F/2} e^{S} e^{F/2}`, first order.

    S adds :math:`g(t)^2 \Delta t \nabla \log p_t`. F is the rest of the reverse SDE, linear with
    noise, whose transition from t to t' is known for every schedule,

    .. math:: x' = \frac{a(t')}{a(t)} x + \sqrt{v}\, z, \qquad
        v = a(t')^2 (\sigma(t)^2 - \sigma(t')^2)

    With the integral B of beta this v is :math:`e^B - 1` for ``VP``; the published code has the
    variance :math:`1 - e^{-B}` of the forward transition. For ``VE`` both are the same.

    Args:
        num_steps: Calls of the scores, at least 1.
        end: Time at which the process ends, in (0, 1).
        denoise: Leave out the last noise.
        corrector: Made at the start of a step with the score of the prediction; None for none.
        exact_backward: Use v above instead of the published one.

    Raises:
        ValueError: A number out of its range.
    """

    num_steps: int = 1000
    end: float = 1e-4
    denoise: bool = True
    corrector: Langevin | None = field(default_factory=lambda: Langevin(snr=0.15))
    exact_backward: bool = True

    def __post_init__(self) -> None:
        check_times(self, self.num_steps, self.end)

    @override
    def step(
        self,
        scores: PartialScores,
        streams: Streams,
        state: GraphState,
        t: Tensor,
        following: Tensor,
    ) -> StepResult:
        system, middle = scores.system, (t + following) / 2
        score = scores(state, t)
        if self.corrector is not None:
            sizes = step_factors(system, t, following)
            state = self.corrector.corrected(state, score, sizes, streams)
        state = self._half(system, streams, state, t, middle).state
        moved = per_side(system, lambda side: side.diffusion(t) ** 2 * (t - following))
        state = state.plus(scaled_by(score, *moved))
        return self._half(system, streams, state, middle, following)

    def _half(
        self, system: GraphSystem, streams: Streams, state: GraphState, t: Tensor, following: Tensor
    ) -> StepResult:
        """Return the state after the transition of F between two times."""

        def growth(side: Schedule) -> Tensor:
            return side.scale(following) / side.scale(t)

        def spread(side: Schedule) -> Tensor:
            std = transition_variance(side, t, following).sqrt()
            return growth(side) * std if self.exact_backward else std

        mean = scaled_by(state, *per_side(system, growth))
        noise = scaled_by(normal_noise(state, streams), *per_side(system, spread))
        return StepResult(mean.plus(noise), mean)
