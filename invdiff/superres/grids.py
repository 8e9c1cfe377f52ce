"""Where an ODE solver stops: grids of noise levels."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from invdiff.samplers.base import karras_sigmas

__all__ = ["Grid", "noise_grid"]

Grid = Literal["edm", "log_snr", "quadratic", "uniform"]


def noise_grid(grid: Grid, num_steps: int, sigma_max: float, sigma_min: float) -> Tensor:
    """Return ``num_steps`` decreasing noise levels from sigma_max to sigma_min, float64."""
    if grid not in get_args(Grid):
        raise ValueError(f"grid: expected one of {', '.join(get_args(Grid))}, got {grid!r}")
    return karras_sigmas(num_steps, sigma_max, sigma_min, 7.0)
