"""What is measured of learned fields in many dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.interpolants.diffusion import Epsilon
from invdiff.interpolants.integrators import integrate_ode, time_grid
from invdiff.interpolants.kl_bounds import field_errors
from invdiff.interpolants.noise import SampleNoise
from invdiff.interpolants.process import Field, FieldProcess, Process
from invdiff.interpolants.sde import integrate_sde
from invdiff.rng import derive_generator
from invdiff.study.laboratory.interpolant_gmm_d128_density import log_density, log_path_weights
from invdiff.study.laboratory.interpolant_gmm_d128_moments import mixture_kl
from invdiff.study.laboratory.interpolant_gmm_d128_problem import HighDimProblem
from invdiff.study.scripted import Arrays

__all__ = ["HighDimRuns", "ode_log_density"]


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
        """Return log true over sampled density at each point, of the SDE, in four ways.

        By all paths of the learned backward SDE and by single ones, by one of the exact backward
        SDE, and what one finds for exact fields: the price of the steps alone.
        """
        learned, exact, count = self.learned, self.problem.exact, self.num_paths
        weights = self._weights(learned, learned, epsilon, count)
        logs = {
            "paths": log_density(weights, count),
            "path": log_density(weights, 1),
            "girsanov": log_density(self._weights(learned, exact, epsilon, 1), 1),
            "steps": log_density(self._weights(exact, exact, epsilon, 1), 1),
        }
        true = self._true_log_density()
        return {name: (true - sampled).numpy() for name, sampled in logs.items()}

    def _weights(self, sampler: Process, proposal: Process, epsilon: Epsilon, count: int) -> Tensor:
        return log_path_weights(
            sampler,
            proposal,
            self._points(),
            self.times,
            epsilon=epsilon,
            count=count,
            generator=self._generator("paths"),
        )

    def _true_log_density(self) -> Tensor:
        return self.problem.target.log_prob(self._points().double())

    def ode_densities(self) -> Arrays:
        """Return log true over sampled density at each point, of the ODE."""
        generator = self._generator("probes")
        sampled = ode_log_density(
            self.learned.velocity, self._points(), self.times.flip(0), generator=generator
        )
        return {"paths": (self._true_log_density() - sampled).numpy()}

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


def ode_log_density(
    velocity: Field, x: Tensor, times: Tensor, *, generator: torch.Generator
) -> Tensor:
    r"""Estimate the log density of what the ODE makes of standard normal numbers.

    .. math:: \log \hat\rho_1(x_1) = \log \rho_0(x_0) - \int_0^1 \nabla \cdot \hat b(x_t, t)\, dt

    by Heun's method. The divergence is that of :cite:t:`hutchinson1989`, without bias: a probe is
    drawn anew at each time, so that the noise averages along the path.

    Args:
        velocity: b.
        x: ``(points, dim)``.
        times: From 1 to 0.
        generator: Of the probes.

    Returns:
        ``(points,)``, float64.
    """
    divergences = [_divergence(velocity, x, times[0], generator)]

    def note(step: int, t: Tensor, x: Tensor) -> None:
        divergences.append(_divergence(velocity, x, t, generator))

    with torch.no_grad():
        start = integrate_ode(velocity, x, times, callback=note)
    gain = torch.trapezoid(torch.stack(divergences), times, dim=0)
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(start.double()).sum(-1)
    # times decrease: the integral has the sign of minus the one from 0 to 1
    return normal + gain


@torch.enable_grad()
def _divergence(velocity: Field, x: Tensor, t: Tensor, generator: torch.Generator) -> Tensor:
    probe = torch.randint(2, x.shape, generator=generator).to(x) * 2 - 1
    inside = x.detach().requires_grad_()
    (product,) = torch.autograd.grad(velocity(inside, t), inside, probe)
    return (product * probe).sum(-1).double()


def _zero(x: Tensor, t: Tensor) -> Tensor:
    return torch.zeros_like(x)
