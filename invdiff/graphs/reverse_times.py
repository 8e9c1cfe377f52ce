"""Times at which the reverse system is stepped."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from invdiff.graphs.schedules import Schedule
from invdiff.graphs.system import GraphSystem

__all__ = ["Spacing", "check_times", "reverse_times"]

Spacing = Literal["time", "log_snr", "rho"]

_HALVINGS = 60


def check_times(
    owner: object, num_steps: int, end: float, spacing: str = "time", rho: float = 7.0
) -> None:
    """Refuse settings of a grid of times, naming the class that was given them.

    Raises:
        ValueError: No steps, an end that isn't in (0, 1), an unknown spacing, or rho <= 0.
    """
    name = type(owner).__name__
    if num_steps < 1:
        raise ValueError(f"{name}: expected num_steps > 0, got {num_steps}")
    if not 0 < end < 1:
        raise ValueError(f"{name}: expected 0 < end < 1, got {end}")
    if spacing not in get_args(Spacing):
        raise ValueError(f"{name}: expected a spacing of {get_args(Spacing)}, got {spacing!r}")
    if not 0 < rho < math.inf:
        raise ValueError(f"{name}: expected rho > 0, got {rho}")


def reverse_times(
    system: GraphSystem, num_steps: int, end: float, spacing: Spacing = "time", rho: float = 7.0
) -> Tensor:
    r"""Return ``num_steps + 1`` times from 1 down to ``end``, evenly spaced in a quantity; float64.

    Args:
        system: Its two schedules share the times; the quantity is the mean of theirs.
        num_steps: At least 0.
        end: In (0, 1).
        spacing: The quantity: t, :math:`\ln \sigma`, or :math:`\sigma^{1/\rho}` as
            :cite:t:`karras2022` space it.
        rho: :math:`\rho`.
    """
    if spacing == "time":
        return torch.linspace(1, end, num_steps + 1, dtype=torch.float64)
    ramp = torch.linspace(0, 1, num_steps + 1, dtype=torch.float64)
    ends = _quantity(system, torch.tensor([1.0, end], dtype=torch.float64), spacing, rho)
    wanted = ends[0] + ramp * (ends[1] - ends[0])
    low, high = torch.full_like(wanted, end), torch.ones_like(wanted)
    # with two schedules the mean has no inverse in closed form, but it grows with time
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = _quantity(system, middle, spacing, rho) > wanted
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    times = (low + high) / 2
    # in this order: with no steps there is one time, the start
    times[-1] = end
    times[0] = 1.0
    return times


def _quantity(system: GraphSystem, t: Tensor, spacing: Spacing, rho: float) -> Tensor:
    def of_side(schedule: Schedule) -> Tensor:
        sigma = schedule.sigma(t)
        return sigma.log() if spacing == "log_snr" else sigma ** (1 / rho)

    return (of_side(system.nodes) + of_side(system.adjacency)) / 2
