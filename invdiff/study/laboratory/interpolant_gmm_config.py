"""Choices of the study of interpolants between mixtures."""

from __future__ import annotations

from typing import Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from invdiff.study.base import Config
from invdiff.study.laboratory.interpolant_gmm_kl import Wave

__all__ = ["StepRuns", "WaveChoice"]


class StepRuns(Config):
    """One sampler with several numbers of steps.

    Args:
        epsilon: 0 for Heun's method on the ODE, else Euler-Maruyama.
        steps: Increasing numbers.
        reference: W1 of a single earlier run at these, to compare with.
    """

    epsilon: float = Field(ge=0)
    steps: tuple[PositiveInt, ...] = Field(min_length=1)
    reference: tuple[PositiveFloat, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if list(self.steps) != sorted(set(self.steps)):
            raise ValueError(f"steps: expected increasing numbers, got {self.steps}")
        if self.reference and len(self.reference) != len(self.steps):
            raise ValueError(f"reference: expected {len(self.steps)} numbers or none")
        return self


class WaveChoice(Config):
    """Errors of the fields: root mean squares of about these sizes, along waves.

    Args:
        velocity: Of b.
        score: Of s.
        wavenumber: Of both.
    """

    velocity: PositiveFloat
    score: PositiveFloat
    wavenumber: float = Field(ge=0)

    def build(self) -> Wave:
        """Return the wave."""
        return Wave(self.velocity, self.score, self.wavenumber)
