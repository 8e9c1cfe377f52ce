"""What is measured of learned fields in many dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.interpolants.diffusion import Epsilon
from invdiff.interpolants.divergence import hutchinson
from invdiff.interpolants.integrators import integrate_ode, time_grid
from invdiff.interpolants.kl_bounds import field_errors
from invdiff.interpolants.likelihood import ode_log_prob, standard_normal_log_prob
from invdiff.interpolants.noise import SampleNoise
from invdiff.interpolants.process import Field, FieldProcess, Process
from invdiff.interpolants.sde import integrate_sde
from invdiff.interpolants.sde_likelihood import PathWeights, sampler_log_prob
from invdiff.rng import derive_generator
from invdiff.study.laboratory.interpolant_gmm_d128_moments import mixture_kl
from invdiff.study.laboratory.interpolant_gmm_d128_problem import HighDimProblem
from invdiff.study.scripted import Arrays

__all__ = ["HighDimRuns"]


@dataclass(frozen=True)
class HighDimRuns:
    """Divergences of the truth from samplers, all on the same points and noises.

    Args:
        problem: The truth.
        learned: The fields.
        num_steps: Of all solvers.
        num_points: Samples of the truth at which densities are found.
        num_paths: Of each density of an SDE.
        num_samples: Of each sampler.
        seed: Of points and noises.
    """

    problem: HighDimProblem
    learned: Process
    num_steps: int
    num_points: int
    num_paths: int
    num_samples: int
    seed: int

    @property
    def times(self) -> Tensor:
        """From 0 to 1: no field of b and s blows up at the ends."""
        return time_grid(self.num_steps, 0.0, 1.0)

    def error_arrays(self, num_times: int, count: int) -> Arrays:
        """Measure the fields' errors, and the size of the exact fields, along time."""
        exact, times = self.problem.exact, time_grid(num_times - 1)
        generator = self._generator("errors")
        found = field_errors(exact, self.learned, times, count, generator=generator)
        arrays = {
            name: getattr(found, name).numpy() for name in ("times", "velocity", "score", "cross")
        }
        zero = FieldProcess(exact.interpolant, b=_zero, s=_zero)
        size = field_errors(exact, zero, times, count, generator=self._generator("errors"))
        return arrays | {"size_b": size.velocity.numpy(), "size_s": size.score.numpy()}

    def densities(self, epsilon: Epsilon) -> Arrays:
        """Return log true over sampled density at each point, of the SDE, in three ways.

        By all backward paths and by single ones, both bounds from above on average, and what one
        finds with a single path for exact fields: the price of the steps alone.
        """
        learned = self._paths(self.learned, epsilon, self.num_paths)
        logs = {
            "paths": learned.log_prob,
            "path": learned.mean,
            "steps": self._paths(self.problem.exact, epsilon, 1).log_prob,
        }
        true = self._true_log_density()
        return {name: (true - sampled.double()).numpy() for name, sampled in logs.items()}

    @torch.no_grad()
    def _paths(self, process: Process, epsilon: Epsilon, count: int) -> PathWeights:
        return sampler_log_prob(
            process,
            self._points(),
            standard_normal_log_prob,
            self.times.flip(0),
            count,
            epsilon=epsilon,
            generator=self._generator("paths"),
        )

    def _true_log_density(self) -> Tensor:
        return self.problem.target.log_prob(self._points().double())

    def ode_densities(self) -> Arrays:
        """Return log true over sampled density at each point, of the ODE."""
        generator, times = self._generator("probes"), self.times.flip(0)

        def fresh(field: Field, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            # new probes at each time: the path doesn't depend on them, and their noise averages
            return hutchinson(x, generator=generator)(field, x, t)

        def solve(field: Field, state: Tensor) -> Tensor:
            return integrate_ode(field, state, times)

        with torch.no_grad():
            sampled = ode_log_prob(
                self.learned.velocity,
                self._points(),
                standard_normal_log_prob,
                solve,
                divergence=fresh,
            )
        return {"paths": (self._true_log_density() - sampled.double()).numpy()}

    @torch.no_grad()
    def samples(self, epsilon: Epsilon | None) -> Arrays:
        """Sample by the SDE, or for None by the ODE, and compare moments."""
        x = self.problem.start(self.num_samples, self._generator("start"))
        if epsilon is None:
            x = integrate_ode(self.learned.velocity, x, self.times)
        else:
            noise = SampleNoise(self._generator("noise"), len(x), x)
            x = integrate_sde(self.learned, x, self.times, epsilon=epsilon, noise=noise)
        return {
            "moments": mixture_kl(self.problem.target, x.double()).numpy(),
            "shown": (x.double() @ self.problem.shown_axes).numpy(),
        }

    def _points(self) -> Tensor:
        generator = self._generator("points")
        return self.problem.target.sample(self.num_points, generator=generator).float()

    def _generator(self, label: str) -> torch.Generator:
        return derive_generator(self.seed, label)


def _zero(x: Tensor, t: Tensor) -> Tensor:
    return torch.zeros_like(x)
