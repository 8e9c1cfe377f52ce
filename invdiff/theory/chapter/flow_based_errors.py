"""How errors of the fields act without noise, and with the best amount of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from invdiff.interpolants import (
    ConstantEpsilon,
    FieldErrors,
    FieldProcess,
    field_errors,
    integrate_dopri5,
    kl_on_grid,
    ode_log_prob,
    time_grid,
)
from invdiff.rng import derive_generator
from invdiff.theory.chapter.drawing import COLORS, draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.flow_based_example import shifted_gaussian

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_DELTA = 0.3
# strength of the oscillating velocity
_STRENGTH = 3.0


def _counter_example() -> Reading:
    kl = _kl_of_oscillation(200)
    exact = _STRENGTH + 2 * math.log((1 + math.exp(-_STRENGTH)) / 2)
    return Reading(
        kl,
        exact,
        1e-4,
        "tolerance 1e-7 of the solver; the velocity is off by 0.0017 only",
        _draw_counter_example,
    )


def _kl_of_oscillation(periods: int) -> float:
    r"""Return KL(law without flow | law with the flow :math:`\tfrac{a}{k} \sin kx`).

    Both start uniform on [0, 1]; one of the periods tells all of them.
    """
    k = 2 * math.pi * periods
    x = torch.linspace(0, 1 / periods, 201, dtype=torch.float64)[:, None]
    log_q = ode_log_prob(
        lambda x, t: _STRENGTH / k * torch.sin(k * x),
        x,
        lambda x: torch.zeros(len(x), dtype=torch.float64),
        lambda f, y: integrate_dopri5(f, y, 1.0, 0.0, rtol=1e-7, atol=1e-7).x,
    )
    return periods * kl_on_grid(torch.zeros_like(log_q), log_q, x[:, 0])


def _draw_counter_example(axes: Axes) -> None:
    periods = (1, 3, 10, 30, 100, 300)
    error = [_STRENGTH / (2 * math.pi * n * math.sqrt(2)) for n in periods]
    axes.loglog(periods, error, "o-", color=COLORS[1], label="error of the velocity")
    kl = [_kl_of_oscillation(n) for n in periods]
    axes.loglog(periods, kl, "o-", color=COLORS[0], label="KL")
    axes.set(xlabel="periods in [0, 1]", ylabel="root mean square, nats")
    axes.legend(frameon=False, fontsize=7)


def _best_epsilon() -> Reading:
    """Compare the constant of the package with a search for the lowest bound."""
    errors = _two_errors()

    def bound(epsilon: float) -> float:
        velocity = quad(lambda t: (_DELTA * (1 + t)) ** 2, 0, 1)[0]
        return float(velocity / (2 * epsilon) + epsilon * 0.5**2 / 2)

    exact = minimize_scalar(bound, bounds=(0.1, 10), method="bounded", options={"xatol": 1e-8}).x
    return Reading(
        errors.best_constant(),
        float(exact),
        2e-3,
        "trapezoidal rule with 20 steps, 1e-4 of the time left out",
        lambda axes: _draw_best(axes, errors, bound),
    )


def _two_errors() -> FieldErrors:
    """Measure fields that are off by delta (1 + t) in the velocity and 1/2 in the score."""
    exact = shifted_gaussian()
    learned = FieldProcess(
        exact.interpolant,
        b=lambda x, t: exact.velocity(x, t) + _DELTA * (1 + t),
        s=lambda x, t: exact.score(x, t) - 0.5,
    )
    generator = derive_generator(0, "best-epsilon")
    return field_errors(exact, learned, time_grid(20), 50, generator=generator)


def _draw_best(axes: Axes, errors: FieldErrors, bound: Callable[[float], float]) -> None:
    epsilons = np.geomspace(0.1, 10, 40)
    draw_curves(
        axes,
        epsilons,
        [bound(e) for e in epsilons],
        {"measured errors": [errors.bound(ConstantEpsilon(e)) for e in epsilons]},
        "amount of noise epsilon",
        "bound in nats",
    )
    axes.axvline(errors.best_constant(), color=COLORS[1], linestyle="--", linewidth=1)
    axes.set_xscale("log")


FACTS = (
    Fact(
        "ode-has-no-such-bound",
        "Without noise an arbitrarily small error of the velocity changes the density by a fixed "
        "divergence, as large as one likes, if it only oscillates fast enough.",
        r"\hat b = \frac{a}{k} \sin kx: \quad \|\hat b - b\| = \frac{a}{k \sqrt 2}, \quad "
        r"\mathrm{KL} = a + 2 \log \frac{1 + e^{-a}}{2} \text{ for all } k",
        ("albergo2023",),
        _counter_example,
    ),
    Fact(
        "best-amount-of-noise",
        "More noise forgives errors of the velocity and pays for those of the score: the bound is "
        "lowest where noise is the ratio of both.",
        r"\epsilon^* = \sqrt{\int V / \int S}, \qquad V = E |\hat b - b|^2, \; "
        r"S = E |\hat s - s|^2",
        ("albergo2023",),
        _best_epsilon,
    ),
)
