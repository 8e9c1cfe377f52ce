r"""Times of a one-sided interpolant and the noise levels of a denoiser: two clocks of one process.

:math:`x_t = \beta x_1 + \gamma z` divided by its length :math:`\sqrt{\beta^2 + \gamma^2}` depends
on :math:`\sigma = \gamma / \beta` alone, so that any two of them are one process at other times
and on other scales.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invdiff.interpolants.interpolant import MARGIN, Interpolant, OneSided
from invdiff.interpolants.paths import LinearPath, TrigonometricPath

__all__ = ["TRAINED_TIMES", "check_levels", "length", "noise_level", "time_of_level"]

#: where fields are trained, as ``uniform_times`` draws
TRAINED_TIMES = (MARGIN, 1 - MARGIN)
# halvings of [0, 1] down to the rounding of float64
_HALVINGS = 54


def noise_level(interpolant: Interpolant, t: Tensor) -> Tensor:
    """Return sigma = gamma / beta, the shape of t; infinite where beta is 0."""
    c = interpolant.at(t)
    return c.gamma / c.beta


def length(interpolant: Interpolant, t: Tensor) -> Tensor:
    """Return the root of beta^2 + gamma^2, the shape of t."""
    c = interpolant.at(t)
    return torch.hypot(c.beta, c.gamma)


def time_of_level(
    interpolant: Interpolant, sigma: Tensor, times: tuple[float, float] = TRAINED_TIMES
) -> Tensor:
    r"""Return the time at which gamma / beta is sigma, clamped to an interval; float64.

    In closed form on the linear path, :math:`t = 1 / (1 + \sigma)`, and on the trigonometric one,
    :math:`t = \tfrac2\pi \operatorname{arccot} \sigma`; by bisection on others.

    Args:
        interpolant: One-sided, see ``check_levels``.
        sigma: Noise levels >= 0 of any shape; infinity is allowed.
        times: Lowest and highest time that is wanted.
    """
    sigma = sigma.double()
    path = interpolant.path if isinstance(interpolant, OneSided) else None
    if isinstance(path, LinearPath):
        t = 1 / (1 + sigma)
    elif isinstance(path, TrigonometricPath):
        t = 2 / math.pi * torch.atan2(torch.ones_like(sigma), sigma)
    else:
        t = _bisected(interpolant, sigma)
    return t.clamp(*times)


def check_levels(interpolant: Interpolant, times: tuple[float, float], who: str) -> None:
    """Refuse an interpolant whose noise level does not fall, or whose velocity tells too little.

    Raises:
        ValueError: An x0, times that are not within [0, 1], a level that rises or stays, or a
            first or last time at which b is a function of the noise alone: 0 on a ``PowerPath``.
    """
    if interpolant.has_x0:
        raise ValueError(f"{who}: expected an interpolant without x0, such as OneSided")
    if not 0 <= times[0] < times[1] <= 1:
        raise ValueError(f"{who}: expected times low < high in [0, 1], got {times}")
    inside = torch.linspace(*times, 101, dtype=torch.float64)[1:-1]
    level = noise_level(interpolant, inside)
    if not (torch.isfinite(level).all() and (level.diff() < 0).all()):
        raise ValueError(f"{who}: expected a noise level that falls with time, see {interpolant}")
    c = interpolant.at(torch.tensor(times, dtype=torch.float64))
    if not (c.beta * c.gamma_dot != c.beta_dot * c.gamma).all():
        raise ValueError(f"{who}: expected times within (0, 1) for {interpolant}, got {times}")


def _bisected(interpolant: Interpolant, sigma: Tensor) -> Tensor:
    low, high = torch.zeros_like(sigma), torch.ones_like(sigma)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        c = interpolant.at(middle)
        # without a division, sigma may be infinite and beta 0
        noisy = c.gamma > sigma * c.beta
        low, high = torch.where(noisy, middle, low), torch.where(noisy, high, middle)
    return (low + high) / 2
