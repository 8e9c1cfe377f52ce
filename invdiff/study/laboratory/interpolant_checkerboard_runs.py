"""Samples of a learned process that ends in a checkerboard."""

from __future__ import annotations

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

__all__ = ["SdeRun", "in_parts", "ode_samples", "paths_of", "sde_samples"]

# points that go through the network together
_CHUNK = 10_000


class SdeRun(NamedTuple):
    """One setting of the SDE.

    Args:
        schedule: The same epsilon at all times, or that of the bound, see ``MatchedEpsilon``.
        scale: Its value or factor.
        steps: Of the Euler-Maruyama method, from t = 0 to the end.
        end: Below 1; for samples one step of the ODE, without noise, follows to t = 1.
    """

    schedule: Literal["constant", "matched"]
    scale: float
    steps: int
    end: float

    @property
    def key(self) -> str:
        """Name in the metrics."""
        return f"{self.schedule}_{self.scale:g}"

    def times(self) -> Tensor:
        """Return the grid, equal steps of the cube root of 1 - t.

        Edges grow sharp as 1 - t, but steps that shrink as fast leave too few near t = 0.
        """
        last = (1 - self.end) ** (1 / 3)
        return 1 - torch.linspace(1, last, self.steps + 1, dtype=torch.float64) ** 3

    def epsilon(self) -> Epsilon:
        """Return epsilon."""
        kinds = {"constant": ConstantEpsilon, "matched": MatchedEpsilon}
        return kinds[self.schedule](self.scale)


def in_parts(x: Tensor, size: int = _CHUNK) -> list[Tensor]:
    """Return batches ``(size, ...)`` of x, the last one with what is left."""
    return [x[i : i + size] for i in range(0, len(x), size)]


def ode_samples(process: Process, start: Tensor, steps: int) -> Tensor:
    """Return what Heun's method makes of noise ``(count, 2)`` at t = 0."""
    times = time_grid(steps, 0.0, 1.0)
    with torch.no_grad():
        return torch.cat([
            integrate_ode(process.velocity, part, times) for part in in_parts(start)
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
    parts = in_parts(start)
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


def _sde_part(
    process: Process, x: Tensor, run: SdeRun, generator: torch.Generator,
    callback: StepCallback | None,
) -> Tensor:  # fmt: skip
    times = run.times()

    def noise() -> Tensor:
        return torch.randn(x.shape, generator=generator, device=x.device)

    with torch.no_grad():
        epsilon = run.epsilon()
        x = integrate_sde(process, x, times, epsilon=epsilon, noise=noise, callback=callback)
        # the mean of x1; the score is not defined at t = 1
        return x + (1 - times[-1]).to(x) * process.velocity(x, times[-1])
