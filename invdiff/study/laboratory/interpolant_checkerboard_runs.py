"""Samples and log densities of a learned process that ends in a checkerboard."""

from __future__ import annotations

import itertools
import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from invdiff.interpolants.diffusion import ConstantEpsilon, Epsilon
from invdiff.interpolants.integrators import StepCallback, integrate_ode, time_grid
from invdiff.interpolants.process import Process
from invdiff.interpolants.sde import integrate_sde
from invdiff.study.laboratory.interpolant_checkerboard_scores import MatchedEpsilon

__all__ = ["SdeRun", "log_prob", "ode_samples", "paths_of", "sde_samples"]

# points that go through the network together
_CHUNK = 10_000


class SdeRun(NamedTuple):
    """One setting of the SDE.

    Args:
        schedule: The same epsilon at all times, or that of the bound, see ``MatchedEpsilon``.
        scale: Its value or factor.
        steps: Euler steps.
        end: Where they end; one step of the ODE, without noise, follows to t = 1.
    """

    schedule: Literal["constant", "matched"]
    scale: float
    steps: int
    end: float

    @property
    def key(self) -> str:
        """Name in the metrics."""
        return f"{self.schedule}_{self.scale:g}_{self.steps}_{self.end:g}"

    def epsilon(self) -> Epsilon:
        """Return epsilon."""
        kinds = {"constant": ConstantEpsilon, "matched": MatchedEpsilon}
        return kinds[self.schedule](self.scale)


def ode_samples(process: Process, start: Tensor, steps: int) -> Tensor:
    """Return what Heun's method makes of noise ``(count, 2)`` at t = 0."""
    times = time_grid(steps, 0.0, 1.0)
    with torch.no_grad():
        return torch.cat([
            integrate_ode(process.velocity, part, times) for part in _parts(start)
        ])  # fmt: skip


def sde_samples(
    process: Process,
    start: Tensor,
    run: SdeRun,
    *,
    generator: torch.Generator,
    callback: StepCallback | None = None,
) -> Tensor:
    """Return what the SDE makes of noise ``(count, 2)`` at t = 0."""
    parts = _parts(start)
    return torch.cat([_sde_part(process, part, run, generator, callback) for part in parts])


def paths_of(
    process: Process, start: Tensor, run: SdeRun | int, num_times: int,
    *, generator: torch.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:  # fmt: skip
    """Return points ``(num_times, count, 2)`` on their way from t = 0 to 1, and the times.

    Args:
        process: The learned one.
        start: At t = 0, at most a chunk.
        run: Of the SDE; a number of steps for the ODE.
        num_times: About equally spaced.
        generator: Of the noise.
    """
    points, times = [start], [0.0]

    def note(step: int, t: Tensor, x: Tensor) -> None:
        points.append(x)
        times.append(float(t))

    if isinstance(run, int):
        with torch.no_grad():
            integrate_ode(process.velocity, start, time_grid(run, 0.0, 1.0), callback=note)
    else:
        last = sde_samples(process, start, run, generator=generator, callback=note)
        points[-1], times[-1] = last, 1.0
    chosen = [int(np.abs(np.array(times) - t).argmin()) for t in np.linspace(0, 1, num_times)]
    return torch.stack([points[i] for i in chosen]).cpu().numpy(), np.array(times)[chosen]


def log_prob(process: Process, x: Tensor, steps: int) -> Tensor:
    r"""Return the log density of the ODE's law at points of t = 1, by the exact divergence.

    .. math:: \ln \hat\rho_1(x_1) = \ln \rho_0(x_0) - \int_0^1 \nabla \cdot \hat b(x_t, t)\, dt

    Heun's method from t = 1 back to 0, in float32, which leaves errors of about 1e-4.

    Args:
        process: With a velocity that autograd knows the derivative of.
        x: ``(count, 2)``.
        steps: Of Heun's method.
    """
    times = time_grid(steps, 1.0, 0.0)
    return torch.cat([_log_prob_part(process, part, times) for part in _parts(x)])


def _parts(x: Tensor) -> list[Tensor]:
    return [x[i : i + _CHUNK] for i in range(0, len(x), _CHUNK)]


def _log_prob_part(process: Process, x: Tensor, times: Tensor) -> Tensor:
    total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for t, end in itertools.pairwise(times):
        h = (end - t).to(x)
        slope, growth = _with_divergence(process, x, t)
        slope_end, growth_end = _with_divergence(process, x + h * slope, end)
        x = x + h * (slope + slope_end) / 2
        total += h * (growth + growth_end) / 2
    return total - (x.double() ** 2).sum(-1) / 2 - math.log(2 * math.pi)


def _with_divergence(process: Process, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        b = process.velocity(x, t)
        parts = [
            torch.autograd.grad(b[:, i].sum(), x, retain_graph=i == 0)[0][:, i] for i in range(2)
        ]
    return b.detach(), parts[0] + parts[1]


def _sde_part(
    process: Process, x: Tensor, run: SdeRun, generator: torch.Generator,
    callback: StepCallback | None,
) -> Tensor:  # fmt: skip
    times = time_grid(run.steps, 0.0, run.end)

    def noise() -> Tensor:
        return torch.randn(x.shape, generator=generator, device=x.device)

    with torch.no_grad():
        epsilon = run.epsilon()
        x = integrate_sde(process, x, times, epsilon=epsilon, noise=noise, callback=callback)
        # the mean of x1; the score is not defined at t = 1
        return x + (1 - times[-1]).to(x) * process.velocity(x, times[-1])
