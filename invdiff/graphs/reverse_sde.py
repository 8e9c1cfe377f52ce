"""First-order steps of the reverse SDEs: Euler-Maruyama and the ancestral discretisation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from typing_extensions import override

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
from invdiff.graphs.system import scaled_by
from invdiff.rng import Streams

__all__ = ["EulerMaruyama", "ReverseDiffusion"]


@dataclass(frozen=True)
class EulerMaruyama(Stepper):
    r"""Euler-Maruyama steps of the reverse SDEs :cite:p:`song2021,jo2022`, weak order 1.

    .. math:: x' = x - (f x - g^2 \nabla \log p_t)\, \Delta t + g \sqrt{\Delta t}\, z

    Args:
        num_steps: Calls of the scores, at least 1.
        end: Time at which the process ends, in (0, 1).
        denoise: Leave out the noise of the last step.

    Raises:
        ValueError: A number out of its range.
    """

    num_steps: int = 1000
    end: float = 1e-4
    denoise: bool = True

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
        score = scores(state, t)
        kept = per_side(scores.system, lambda side: self._kept(side, t, following))
        variance = per_side(scores.system, lambda side: self._variance(side, t, following))
        mean = scaled_by(state, *kept).plus(scaled_by(score, *variance))
        spread = (v.sqrt() for v in variance)
        return StepResult(mean.plus(scaled_by(normal_noise(state, streams), *spread)), mean)

    def _kept(self, schedule: Schedule, t: Tensor, following: Tensor) -> Tensor:
        """Return the factor of the state."""
        return 1 - schedule.drift_rate(t) * (t - following)

    def _variance(self, schedule: Schedule, t: Tensor, following: Tensor) -> Tensor:
        """Return the variance of the noise, which is also the factor of the score."""
        return schedule.diffusion(t) ** 2 * (t - following)


@dataclass(frozen=True)
class ReverseDiffusion(EulerMaruyama):
    r"""The reverse of the discrete forward chain, as DDPM and SMLD step it :cite:p:`song2021`.

    With the factor r and the variance G^2 of the forward transition that a step goes back,

    .. math:: x' = (2 - r) x + G^2 \nabla \log p_t + G z

    For ``VP``, :math:`r = \sqrt{1 - \beta_i}, G^2 = \beta_i`, where :math:`\beta_i = 1 - e^{-B}`
    keeps the chain on the marginals of the SDE; the published :math:`\beta(t) \Delta t` is the
    same up to its square. For ``VE``, :math:`r = 1, G^2 = \sigma_i^2 - \sigma_{i-1}^2`.

    Args:
        num_steps: Calls of the scores, at least 1.
        end: Time at which the process ends, in (0, 1).
        denoise: Leave out the noise of the last step.

    Raises:
        ValueError: A number out of its range.
    """

    @override
    def _kept(self, schedule: Schedule, t: Tensor, following: Tensor) -> Tensor:
        return 2 - schedule.scale(t) / schedule.scale(following)

    @override
    def _variance(self, schedule: Schedule, t: Tensor, following: Tensor) -> Tensor:
        return transition_variance(schedule, t, following)
