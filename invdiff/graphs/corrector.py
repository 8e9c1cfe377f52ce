"""Langevin correction, and predictors that alternate with it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from invdiff.graphs.integrator import StepResult, per_side
from invdiff.graphs.scores import PartialScores
from invdiff.graphs.state import GraphState, normal_noise
from invdiff.graphs.stepper import Stepper
from invdiff.graphs.system import GraphSystem, scaled_by
from invdiff.rng import Streams

__all__ = ["Langevin", "PredictorCorrector"]


@dataclass(frozen=True)
class Langevin:
    r"""One Langevin step of both sides at a fixed time :cite:p:`song2021,jo2022`.

    .. math:: x' = x + \epsilon \nabla \log p_t + \sqrt{2 \epsilon}\, \kappa z, \qquad
        \epsilon = 2 \alpha \bigl(r \|z\| / \|\nabla \log p_t\|\bigr)^2

    :math:`\alpha = a(t)^2 / a(t')^2` for a step from t to t', to first order the published :math:`1
    - \beta \Delta t`, and 1 for ``VE``. Each graph and side has its own norms. As the step depends
    on the state and its noise, the density isn't exactly invariant: on graphs of few nodes, a large
    ``snr`` biases their moments.

    Args:
        snr: r, signal to noise of a step, positive.
        noise_scale: :math:`\kappa`, at least 0; below 1 the chain is colder than the density.
        batch_norms: Use norms averaged over the batch, as published: then a graph depends on the
            graphs next to it.

    Raises:
        ValueError: A number out of its range.
    """

    snr: float = 0.05
    noise_scale: float = 0.7
    batch_norms: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.snr < math.inf:
            raise ValueError(f"Langevin: expected snr > 0, got {self.snr}")
        if not 0 <= self.noise_scale < math.inf:
            raise ValueError(f"Langevin: expected noise_scale >= 0, got {self.noise_scale}")

    def corrected(
        self, state: GraphState, score: GraphState, sizes: tuple[Tensor, Tensor], streams: Streams
    ) -> GraphState:
        r"""Return the state after a step.

        Args:
            state: At a time t.
            score: There.
            sizes: :math:`\alpha` of both sides, from ``step_factors``.
            streams: One stream for each graph.
        """
        noise = normal_noise(state, streams)
        nodes = sizes[0] * self._step(noise.nodes, score.nodes)
        adjacency = sizes[1] * self._step(noise.adjacency, score.adjacency)
        spread = (self.noise_scale * (2 * size).sqrt() for size in (nodes, adjacency))
        return state.plus(scaled_by(score, nodes, adjacency)).plus(scaled_by(noise, *spread))

    def _step(self, noise: Tensor, score: Tensor) -> Tensor:
        """Return the step size without alpha, one for each graph or for all."""
        length, slope = (torch.linalg.vector_norm(v, dim=(-2, -1)) for v in (noise, score))
        if self.batch_norms:
            length, slope = length.mean(), slope.mean()
        # a graph of one node has no pairs: its noise and its score are both 0, and so is the step
        return 2 * (self.snr * length / slope.clamp(min=torch.finfo(slope.dtype).tiny)) ** 2


def step_factors(system: GraphSystem, t: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return :math:`\alpha` of both sides for a step from t to the following time."""
    # 1 - beta dt, as published, is negative in long steps
    return per_side(system, lambda side: (side.scale(t) / side.scale(following)) ** 2)


@dataclass(frozen=True)
class PredictorCorrector(Stepper):
    """At each time a correction of X and A at once, then a prediction of both.

    Args:
        predictor: Step to the next time; has the number of steps.
        corrector: Step at each time.
        num_corrections: At each time, at least 1; each calls the scores.

    Raises:
        ValueError: No corrections.
    """

    predictor: Stepper
    corrector: Langevin
    num_corrections: int = 1

    def __post_init__(self) -> None:
        if self.num_corrections < 1:
            raise ValueError(
                f"PredictorCorrector: expected num_corrections > 0, got {self.num_corrections}"
            )

    @property
    @override
    def num_steps(self) -> int:
        """Steps of the predictor."""
        return self.predictor.num_steps

    @property
    @override
    def end(self) -> float:
        """Time of its last state."""
        return self.predictor.end

    @property
    @override
    def denoise(self) -> bool:
        """Whether its last step is made without noise."""
        return self.predictor.denoise

    @override
    def step(
        self,
        scores: PartialScores,
        streams: Streams,
        state: GraphState,
        t: Tensor,
        following: Tensor,
    ) -> StepResult:
        sizes = step_factors(scores.system, t, following)
        for _ in range(self.num_corrections):
            state = self.corrector.corrected(state, scores(state, t), sizes, streams)
        return self.predictor.step(scores, streams, state, t, following)
