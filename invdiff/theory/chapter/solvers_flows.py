"""Solvers of interpolants, with fixed steps and with chosen ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from invdiff.interpolants.dopri5 import integrate_dopri5
from invdiff.interpolants.integrators import OdeMethod, integrate_ode, time_grid
from invdiff.interpolants.interpolant import TwoSided
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.paths import PowerPath
from invdiff.priors import GaussianMixturePrior
from invdiff.theory.chapter.drawing import draw_order
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import MEANS, VARIANCES, WEIGHTS, two_modes
from invdiff.theory.chapter.orders import fitted_order
from invdiff.theory.chapter.quadrature import exact_flow, quantile

__all__ = ["FACTS"]

_HIGH, _LOW = 3.0, 0.3


def _interpolant_orders() -> Reading:
    counts = (20, 30, 45, 60)
    process, x, exact = _interpolant()
    orders: dict[OdeMethod, int] = {"euler": 1, "midpoint": 2, "heun": 2}
    lines: dict[str, tuple[list[float], float]] = {
        method: ([_miss(process, x, exact, method, n) for n in counts], float(order))
        for method, order in orders.items()
    }
    steps = 1 / np.asarray(counts)
    misses = [abs(fitted_order(steps, errors) - order) for errors, order in lines.values()]
    return Reading(
        max(misses),
        0.0,
        0.1,
        "the next order of the error at these steps",
        lambda axes: draw_order(axes, steps, lines, "step"),
    )


def _miss(
    process: MixtureProcess, x: Tensor, exact: Tensor, method: OdeMethod, count: int
) -> float:
    found = integrate_ode(process.velocity, x, time_grid(count, 0, 1), method=method)
    return float((found - exact).abs().max())


def _interpolant() -> tuple[MixtureProcess, Tensor, Tensor]:
    """Return one from a standard normal to two modes, points of its start, and their ends."""
    prior, one = _wide_modes(), torch.ones(1, dtype=torch.float64)
    base = GaussianMixturePrior(one, 0 * one[:, None], one[:, None, None])
    x = torch.linspace(-2, 2, 9, dtype=torch.float64).unsqueeze(1)
    process = MixtureProcess(TwoSided(PowerPath()), prior, base)
    return process, x, quantile(prior, torch.special.ndtr(x), 0.0)


def _adaptive() -> Reading:
    prior, x = two_modes(), torch.linspace(-5, 5, 21, dtype=torch.float64).unsqueeze(1)
    exact, tolerances = exact_flow(prior, x, _HIGH, _LOW), np.logspace(-3, -9, 7)
    errors = [float((_end(prior, x, t) - exact).abs().max()) for t in tolerances]
    return Reading(
        fitted_order(tolerances, errors),
        1.0,
        0.15,
        "steps are chosen one by one, so the error does not fall evenly",
        lambda axes: draw_order(axes, tolerances, {"dopri5": (errors, 1.0)}, "tolerance"),
    )


def _end(prior: GaussianMixturePrior, x: Tensor, tolerance: float) -> Tensor:
    def velocity(x: Tensor, t: Tensor) -> Tensor:
        sigma = _HIGH + (_LOW - _HIGH) * t
        return (_LOW - _HIGH) * (x - prior(x, sigma)) / sigma.unsqueeze(-1)

    return integrate_dopri5(velocity, x, 0.0, 1.0, rtol=tolerance, atol=tolerance).x


def _wide_modes() -> GaussianMixturePrior:
    return GaussianMixturePrior(
        WEIGHTS, MEANS.unsqueeze(1), torch.full_like(VARIANCES, 0.3).reshape(2, 1, 1)
    )


FACTS = (
    Fact(
        "interpolant-solver-orders",
        "On the flow of an interpolant, too, Euler's method has order one, the midpoint rule and "
        "Heun's method order two.",
        r"|x_N - x(1)| = O(h^p), \qquad p = 1, 2, 2",
        ("albergo2023",),
        _interpolant_orders,
    ),
    Fact(
        "adaptive-solver-tolerance",
        "A solver that chooses its steps by an estimate of their error ends with an error in "
        "proportion to the tolerance.",
        r"|x_N - x(1)| \propto \mathrm{tol}",
        ("dormand1980",),
        _adaptive,
    ),
)
