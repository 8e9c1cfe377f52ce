"""What integrators of the reverse system that move from time to time have in common."""

from __future__ import annotations

import abc
from functools import partial

from torch import Tensor

from invdiff.graphs.integrator import GraphCallback, StepResult, follow
from invdiff.graphs.reverse_times import reverse_times
from invdiff.graphs.scores import PartialScores
from invdiff.graphs.state import GraphState
from invdiff.rng import Streams

__all__ = ["Stepper"]


class Stepper(abc.ABC):
    """Steps of the reverse SDEs between evenly spaced times, each from its state alone.

    Attributes:
        num_steps: Steps from time 1 to ``end``.
        end: Time of the last state.
        denoise: Whether the last step is made without noise.
    """

    @property
    @abc.abstractmethod
    def num_steps(self) -> int: ...  # noqa: D102

    @property
    @abc.abstractmethod
    def end(self) -> float: ...  # noqa: D102

    @property
    @abc.abstractmethod
    def denoise(self) -> bool: ...  # noqa: D102

    @abc.abstractmethod
    def step(
        self,
        scores: PartialScores,
        streams: Streams,
        state: GraphState,
        t: Tensor,
        following: Tensor,
    ) -> StepResult:
        """Return the state at the time that follows t."""

    def run(
        self,
        scores: PartialScores,
        start: GraphState,
        streams: Streams,
        callback: GraphCallback | None = None,
    ) -> GraphState:
        """Return the graphs that the state at time 1 turns into; see ``GraphIntegrator``."""
        times = reverse_times(scores.system, self.num_steps, self.end)
        step = partial(self.step, scores, streams)
        return follow(step, times, start, self.denoise, callback)
