"""Log densities at given points of what a learned process samples, and divergences from them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.interpolants.integrators import integrate_ode, time_grid
from invdiff.interpolants.likelihood import ode_log_prob, standard_normal_log_prob
from invdiff.interpolants.process import Field, Process
from invdiff.interpolants.sde_likelihood import PathWeights, sampler_log_prob
from invdiff.study.laboratory.interpolant_checkerboard_runs import SdeRun, in_parts

__all__ = ["MeanAndError", "by_paths", "mean_and_error", "ode_log_density", "sde_weights"]

# paths that go through the network together
_CHUNK = 10_000


class MeanAndError(NamedTuple):
    """A mean over points, and its standard error."""

    mean: float
    error: float


def mean_and_error(values: Tensor) -> MeanAndError:
    """Return the mean of independent values ``(count,)``, and its standard error."""
    return MeanAndError(float(values.mean()), float(values.std()) / len(values) ** 0.5)


def ode_log_density(process: Process, x: Tensor, steps: int, end: float = 1.0) -> Tensor:
    """Return the log density of the ODE's law at points of a time, ``(count,)``.

    By the exact divergence, with Heun's method on equal steps.

    Args:
        process: With a velocity that autograd knows the derivative of.
        x: ``(count, 2)``.
        steps: Of Heun's method.
        end: Time of the points.
    """
    times = time_grid(steps, end, 0.0)

    def solve(field: Field, state: Tensor) -> Tensor:
        return integrate_ode(field, state, times)

    with torch.no_grad():
        return torch.cat([
            ode_log_prob(process.velocity, part, _normal, solve) for part in in_parts(x)
        ])  # fmt: skip


def sde_weights(
    process: Process, x: Tensor, run: SdeRun, num_paths: int, *, generator: torch.Generator
) -> Tensor:
    """Return log weights ``(count, num_paths)`` of paths back from what a run draws at its end.

    The mean of the weights is the density of its Euler-Maruyama steps, see ``sampler_log_prob``.

    Args:
        process: The learned one.
        x: Points at the end of the run, ``(count, 2)``.
        run: Of the SDE.
        num_paths: For each point.
        generator: Source of a stream for each point.
    """
    times = run.times().flip(0)
    with torch.no_grad():
        return torch.cat([
            sampler_log_prob(
                process, part, _normal, times, num_paths,
                epsilon=run.epsilon(), generator=generator,
            ).log_weights
            for part in in_parts(x, max(1, _CHUNK // num_paths))
        ])  # fmt: skip


def by_paths(true: Tensor, log_weights: Tensor, count: int) -> Tensor:
    """Return what each point adds to the divergence, if it has so many paths.

    The log of a mean of few weights is too low on average, so the divergence is too high, and
    falls towards its value with more paths. All groups of so many paths are made use of.

    Args:
        true: Log density of the truth, ``(points,)``.
        log_weights: ``(points, num_paths)``.
        count: At most ``num_paths``.
    """
    groups = log_weights.shape[1] // count
    grouped = log_weights[:, : groups * count].reshape(-1, count)
    return true - PathWeights(grouped.double()).log_prob.reshape(-1, groups).mean(1)


def _normal(x: Tensor) -> Tensor:
    return standard_normal_log_prob(x.double())
