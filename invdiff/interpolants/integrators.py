"""Solvers of the ODE of an interpolant on a given grid of times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from invdiff.interpolants.interpolant import MARGIN
from invdiff.interpolants.process import Field

__all__ = ["OdeMethod", "StepCallback", "check_times", "integrate_ode", "time_grid"]

OdeMethod = Literal["euler", "midpoint", "heun"]
StepCallback = Callable[[int, Tensor, Tensor], None]


def time_grid(num_steps: int, start: float = MARGIN, end: float = 1 - MARGIN) -> Tensor:
    """Return ``num_steps + 1`` equal times, float64; from 1 to 0 where start > end.

    Raises:
        ValueError: No step, or times outside of [0, 1].
    """
    if num_steps < 1 or not 0 <= min(start, end) < max(start, end) <= 1:
        raise ValueError(
            f"time_grid: expected num_steps >= 1 and different times in [0, 1], got {num_steps}, "
            f"{start} and {end}"
        )
    return torch.linspace(start, end, num_steps + 1, dtype=torch.float64)


def integrate_ode(
    velocity: Field,
    x: Tensor,
    times: Tensor,
    *,
    method: OdeMethod = "heun",
    callback: StepCallback | None = None,
) -> Tensor:
    """Integrate dx/dt = b(x, t) along the grid, forwards or backwards.

    Args:
        velocity: b.
        x: Values at ``times[0]``, ``(*batch, *shape)``.
        times: ``(steps + 1,)``, monotonic.
        method: Of order 1 ("euler", one call a step) or 2 (two calls).
        callback: Called with the number of each step, its end time and the values there.

    Raises:
        ValueError: An unknown method, times that are not monotonic or leave [0, 1], or fewer than
            two.
    """
    check_times(times)
    if method not in _STEPS:
        raise ValueError(f"integrate_ode: expected a method of {tuple(_STEPS)}, got {method!r}")
    step = _STEPS[method]
    for i in range(len(times) - 1):
        x = step(velocity, x, times[i], times[i + 1])
        if callback is not None:
            callback(i, times[i + 1], x)
    return x


def check_times(times: Tensor) -> None:
    """Check a grid of times.

    Raises:
        ValueError: They are not strictly monotonic, leave [0, 1], or are fewer than two.
    """
    if times.ndim != 1 or len(times) < 2:
        raise ValueError(f"expected at least 2 monotonic times, got shape {tuple(times.shape)}")
    steps = times.diff()
    if not ((steps > 0).all() or (steps < 0).all()) or times.min() < 0 or times.max() > 1:
        shown = f"{times[:3].tolist()} ... {times[-3:].tolist()}"
        raise ValueError(f"expected strictly monotonic times in [0, 1], got {shown}")


def _euler(velocity: Field, x: Tensor, t: Tensor, end: Tensor) -> Tensor:
    return x + (end - t).to(x) * velocity(x, t)


def _midpoint(velocity: Field, x: Tensor, t: Tensor, end: Tensor) -> Tensor:
    half = x + ((end - t) / 2).to(x) * velocity(x, t)
    return x + (end - t).to(x) * velocity(half, (t + end) / 2)


def _heun(velocity: Field, x: Tensor, t: Tensor, end: Tensor) -> Tensor:
    slope, h = velocity(x, t), (end - t).to(x)
    return x + h * (slope + velocity(x + h * slope, end)) / 2


_STEPS = {"euler": _euler, "midpoint": _midpoint, "heun": _heun}
