"""Where an ODE solver stops: grids of noise levels."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from invdiff.samplers.base import karras_sigmas

__all__ = ["Grid", "noise_grid"]

Grid = Literal["edm", "log_snr", "quadratic", "uniform"]

# powers of the noise level ("edm") and of the time that are equally spaced
_RHO = {"edm": 7.0, "quadratic": 2.0, "uniform": 1.0}
# of the variance-preserving diffusion whose time the last two are spaced in
_BETA_MIN, _BETA_MAX = 0.1, 20.0


def noise_grid(grid: Grid, num_steps: int, sigma_max: float, sigma_min: float) -> Tensor:
    r"""Return ``num_steps`` decreasing noise levels from sigma_max to sigma_min, float64.

    - ``edm``: equal steps in :math:`\sigma^{1/7}` :cite:p:`karras2022`.
    - ``log_snr``: equal steps in :math:`\ln \sigma`, half the negative log signal-to-noise ratio
      :cite:p:`lu2022`.
    - ``uniform``: equal steps in the time t of the variance-preserving diffusion of
      :cite:t:`song2021`, whose beta grows linearly from 0.1 to 20.
    - ``quadratic``: equal steps in :math:`\sqrt t` :cite:p:`song2021ddim`.

    .. math:: 1 + \sigma^2 = \exp\bigl(\beta_{min}\, t
        + \tfrac12 (\beta_{max} - \beta_{min})\, t^2\bigr)

    Args:
        grid: One of the names above.
        num_steps: Noise levels above 0, at least 2; the ODE appends 0.
        sigma_max: Highest level, in half data ranges, as that diffusion assumes images in [-1, 1].
        sigma_min: Lowest level, > 0, in the same unit.

    Raises:
        ValueError: An unknown grid, fewer than 2 levels, or not 0 < sigma_min < sigma_max < inf.
    """
    if grid not in get_args(Grid):
        raise ValueError(f"grid: expected one of {', '.join(get_args(Grid))}, got {grid!r}")
    if num_steps < 2 or not 0 < sigma_min < sigma_max < math.inf:
        raise ValueError(
            f"grid: expected 0 < sigma_min < sigma_max < inf and at least 2 noise levels, "
            f"got {sigma_min}, {sigma_max} and {num_steps}"
        )
    if grid == "edm":
        return karras_sigmas(num_steps, sigma_max, sigma_min, _RHO[grid])
    if grid == "log_snr":
        ramp = torch.linspace(0, 1, num_steps, dtype=torch.float64)
        return sigma_max * (sigma_min / sigma_max) ** ramp
    # the same spacing by powers, of times
    return _sigma(karras_sigmas(num_steps, _time(sigma_max), _time(sigma_min), _RHO[grid]))


def _time(sigma: float) -> float:
    """Return the time at which the variance-preserving diffusion has that noise level."""
    # the root of the quadratic in t, without the difference of close numbers at small sigma
    twice_rise = 2 * (_BETA_MAX - _BETA_MIN)
    log_variance = math.log1p(sigma**2)
    return 2 * log_variance / (_BETA_MIN + math.sqrt(_BETA_MIN**2 + twice_rise * log_variance))


def _sigma(time: Tensor) -> Tensor:
    """Return the noise level at a time."""
    return torch.expm1(_BETA_MIN * time + (_BETA_MAX - _BETA_MIN) / 2 * time**2).sqrt()
