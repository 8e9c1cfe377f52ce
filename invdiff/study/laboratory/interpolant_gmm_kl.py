r"""The divergence that wrong fields cause, without sampling, and the bounds on it.

The law of the SDE with wrong fields solves

.. math:: \partial_t \hat\rho + \partial_x (\hat b_F \hat\rho) = \epsilon \partial_x^2 \hat\rho,

here by finite volumes with central differences and the Crank-Nicolson scheme; that of the ODE is
the base's along the characteristics. Both give the probabilities of cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solve_banded
from scipy.special import rel_entr
from torch import Tensor

from invdiff.interpolants import (
    ConstantEpsilon,
    FieldProcess,
    MixtureProcess,
    integrate_ode,
    time_grid,
)
from invdiff.interpolants.kl_bounds import FieldErrors, field_errors
from invdiff.rng import derive_generator
from invdiff.study.laboratory.interpolant_gmm_problem import base_of, line, masses
from invdiff.study.scripted import Arrays
from invdiff.theory.marginals import cdf

__all__ = ["Wave", "WrongFields"]

# cells of less probability add nothing, and rounding may make that of the scheme negative
_LEAST = 1e-13


@dataclass(frozen=True)
class Wave:
    r"""Errors :math:`\sqrt2 \delta_b \sin(kx + \pi/4), \sqrt2 \delta_s \cos(kx + \pi/4)`.

    Their mean squares are the squares of the sizes for k = 0 and for fast waves.

    Args:
        velocity: Size of the error of b.
        score: Size of the error of s.
        wavenumber: k.
    """

    velocity: float
    score: float
    wavenumber: float

    def of_velocity(self, x: Tensor) -> Tensor:
        """Return the error of b."""
        return math.sqrt(2) * self.velocity * (self.wavenumber * x + math.pi / 4).sin()

    def of_score(self, x: Tensor) -> Tensor:
        """Return the error of s."""
        return math.sqrt(2) * self.score * (self.wavenumber * x + math.pi / 4).cos()

    def added(self, process: MixtureProcess) -> FieldProcess:
        """Return the process with wrong fields."""
        return FieldProcess(
            process.interpolant,
            b=lambda x, t: process.velocity(x, t) + self.of_velocity(x),
            s=lambda x, t: process.score(x, t) + self.of_score(x),
        )


@dataclass(frozen=True)
class WrongFields:
    """A process with wrong fields, on cells of the line.

    Args:
        process: The exact fields.
        wave: Their errors.
        reach: The cells go from ``-reach`` to ``reach``.
        cells: Their number.
        steps: Of the time from 0 to 1.
    """

    process: MixtureProcess
    wave: Wave
    reach: float
    cells: int
    steps: int

    def divergences(self, epsilons: Sequence[float]) -> Arrays:
        """Return "kl" of the target to what is sampled, for each epsilon; 0 is the ODE."""
        velocity, score = self._drifts()
        found = []
        for epsilon in epsilons:
            if epsilon:
                law = self._diffused(velocity + epsilon * score, epsilon)
            else:
                law = self._transported()
            found.append(self._divergence(law))
        return {"kl": np.array(found)}

    def errors(self) -> FieldErrors:
        """Return the mean squares of the errors, as integrals over the exact marginals."""
        times, edges = time_grid(64, 0, 1), self._edges()
        middle = (edges[1:] + edges[:-1]) / 2
        b, s = self.wave.of_velocity(middle), self.wave.of_score(middle)
        products = torch.stack([b**2, s**2, b * s])
        rows = [products @ masses(self.process.marginal(t), edges) for t in times]
        return FieldErrors(times, *torch.stack(rows, dim=1))

    def sampled_errors(self, num_samples: int, seed: int) -> FieldErrors:
        """Return the same from samples."""
        generator = derive_generator(seed, "errors")
        wrong, times = self.wave.added(self.process), time_grid(64)
        return field_errors(self.process, wrong, times, num_samples, generator=generator)

    def bounds(self, epsilons: Sequence[float], errors: FieldErrors) -> Arrays:
        """Return both bounds for each epsilon, the tight one first."""
        amounts = [ConstantEpsilon(epsilon) for epsilon in epsilons]
        return {
            "tight": np.array([errors.drift_bound(amount) for amount in amounts]),
            "loose": np.array([errors.bound(amount) for amount in amounts]),
        }

    def _edges(self) -> Tensor:
        return line(self.reach, self.cells)

    def _drifts(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return wrong b and s at the inner edges in the middle of each step."""
        wrong, x = self.wave.added(self.process), self._edges()[1:-1].unsqueeze(-1)
        times = (torch.arange(self.steps, dtype=torch.float64) + 0.5) / self.steps
        fields = (wrong.velocity, wrong.score)
        b, s = (torch.stack([f(x, t)[:, 0] for t in times]).numpy() for f in fields)
        return b, s

    def _diffused(self, drift: NDArray[Any], epsilon: float) -> NDArray[Any]:
        law = masses(base_of(self.process), self._edges()).numpy()
        step, size = 1 / self.steps, 2 * self.reach / self.cells
        for row in drift:
            # the flow through an edge is right * (cell before) - left * (cell after)
            right = row / (2 * size) + epsilon / size**2
            left = -row / (2 * size) + epsilon / size**2
            law = _crank_nicolson(law, right, left, step)
        return law

    def _transported(self) -> NDArray[Any]:
        wrong, edges = self.wave.added(self.process), self._edges()
        start = integrate_ode(wrong.velocity, edges.unsqueeze(-1), time_grid(self.steps, 1, 0))
        return cdf(base_of(self.process), start[:, 0]).diff().numpy()

    def _divergence(self, law: NDArray[Any]) -> float:
        target = masses(self.process.target, self._edges()).numpy()
        counted = target > _LEAST
        return float(rel_entr(target[counted], law[counted]).sum())


def _crank_nicolson(
    law: NDArray[Any], right: NDArray[Any], left: NDArray[Any], step: float
) -> NDArray[Any]:
    """Move the probabilities of cells by rates to the right and left neighbour, a step."""
    flow = right * law[:-1] - left * law[1:]
    moved = law.copy()
    moved[:-1] -= step / 2 * flow
    moved[1:] += step / 2 * flow
    bands = np.zeros((3, len(law)))
    bands[1] = 1
    bands[1, :-1] += step / 2 * right
    bands[1, 1:] += step / 2 * left
    bands[0, 1:] = -step / 2 * left
    bands[2, :-1] = -step / 2 * right
    solved: NDArray[Any] = solve_banded((1, 1), bands, moved, check_finite=False)
    return solved
