"""Solvers of the probability-flow ODE: how their error falls with the step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from invdiff.interpolants.dopri5 import integrate_dopri5
from invdiff.interpolants.integrators import OdeMethod, integrate_ode, time_grid
from invdiff.interpolants.interpolant import TwoSided
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.paths import PowerPath
from invdiff.priors import GaussianMixturePrior
from invdiff.samplers import karras_sigmas
from invdiff.superres.integrators import Integrator, integrator_named
from invdiff.theory.chapter.drawing import draw_order
from invdiff.theory.chapter.fact import Fact, Reading

__all__ = ["FACTS", "exact_flow", "fitted_order", "two_modes"]

_HIGH, _LOW = 3.0, 0.3


def fitted_order(steps: ArrayLike, errors: ArrayLike) -> float:
    """Return the slope of log error over log step, by least squares."""
    return float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


def two_modes(*variances: float) -> GaussianMixturePrior:
    """Return a mixture on the line of weights 0.4 and 0.6, about -1 and 0.8; images ``(1,)``."""
    v = torch.tensor(variances or (0.04, 0.09), dtype=torch.float64)
    means = torch.tensor([[-1.0], [0.8]], dtype=torch.float64)
    return GaussianMixturePrior(
        torch.tensor([0.4, 0.6], dtype=torch.float64), means, v[:, None, None]
    )


def exact_flow(prior: GaussianMixturePrior, x: Tensor, high: float, low: float) -> Tensor:
    """Return where the probability flow carries x from a noise level to a lower one.

    On the line it keeps the order of points, so each stays at its quantile: found by bisection.
    """
    return _quantile(prior, _distribution(prior, x, high), low)


def _quantile(prior: GaussianMixturePrior, share: Tensor, sigma: float) -> Tensor:
    left, right = torch.full_like(share, -30.0), torch.full_like(share, 30.0)
    for _ in range(80):
        middle = (left + right) / 2
        below = _distribution(prior, middle, sigma) < share
        left, right = torch.where(below, middle, left), torch.where(below, right, middle)
    return (left + right) / 2


def _distribution(prior: GaussianMixturePrior, x: Tensor, sigma: float) -> Tensor:
    std = (prior.covariances.flatten() + sigma**2).sqrt()
    z = (x - prior.means.flatten()) / std
    return (prior.weights * torch.special.ndtr(z)).sum(-1, keepdim=True)


def _errors(integrator: Integrator, counts: Sequence[int]) -> list[float]:
    prior, x = two_modes(), torch.linspace(-5, 5, 21, dtype=torch.float64).unsqueeze(1)
    exact = exact_flow(prior, x, _HIGH, _LOW)
    grids = (karras_sigmas(count + 1, _HIGH, _LOW) for count in counts)
    return [float((integrator(prior, x, grid) - exact).abs().max()) for grid in grids]


def _order(name: str, order: int) -> Reading:
    counts = (64, 96, 128, 192, 256)
    errors, steps = _errors(integrator_named(name), counts), 1 / np.asarray(counts)
    lines = {name: (errors, float(order))}
    if name != "ddim":
        lines["ddim"] = (_errors(integrator_named("ddim"), counts), 1.0)
    return Reading(
        fitted_order(steps, errors),
        order,
        0.15,
        "the next order of the error at these steps",
        lambda axes: draw_order(axes, steps, lines, "1 / steps"),
    )


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
    prior, one = two_modes(0.3, 0.3), torch.ones(1, dtype=torch.float64)
    base = GaussianMixturePrior(one, 0 * one[:, None], one[:, None, None])
    x = torch.linspace(-2, 2, 9, dtype=torch.float64).unsqueeze(1)
    process = MixtureProcess(TwoSided(PowerPath()), prior, base)
    return process, x, _quantile(prior, torch.special.ndtr(x), 0.0)


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


def _solver(key: str, name: str, order: int, claim: str, equation: str, source: str) -> Fact:
    return Fact(key, claim, equation, (source,), partial(_order, name, order))


FACTS = (
    _solver(
        "ddim-order-one",
        "ddim",
        1,
        "DDIM holds the denoised image over a step: halving the steps halves the error.",
        r"x' = D + \tfrac{\sigma'}{\sigma} (x - D), \qquad |x_N - x(\sigma')| = O(h)",
        "song2021ddim",
    ),
    _solver(
        "heun-order-two",
        "heun",
        2,
        "Heun's method averages the slopes of both ends of a step: half the step, a quarter of "
        "the error, for two calls a step.",
        r"x' = x + (\sigma' - \sigma) \tfrac12 (d + d'), \qquad |x_N - x(\sigma')| = O(h^2)",
        "karras2022",
    ),
    _solver(
        "dpm-solver-order-two",
        "dpm_2",
        2,
        "DPM-Solver-2 takes the noise from the middle of the step in log sigma: second order.",
        r"x' = x + (\sigma' - \sigma)\, \varepsilon(\bar x, \sqrt{\sigma \sigma'}), \qquad "
        r"|x_N - x(\sigma')| = O(h^2)",
        "lu2022",
    ),
    _solver(
        "dpm-solver-plus-plus-order-two",
        "dpmpp_2m",
        2,
        "DPM-Solver++(2M) reuses the denoised image of the step before: second order for one "
        "call a step.",
        r"x' = e^{-h} x + (1 - e^{-h}) \bigl(D_i + \tfrac{h_i}{2 h_{i-1}} (D_i - D_{i-1})\bigr)",
        "lu2022plusplus",
    ),
    _solver(
        "unipc-order-three",
        "unipc_2",
        3,
        "UniPC makes the last step again with the call that the next one needs anyway: third "
        "order for one call a step.",
        r"x' = e^{-h} x + \int_0^h e^{s - h} (D_i + c_1 s + c_2 s^2)\, ds, \qquad "
        r"|x_N - x(\sigma')| = O(h^3)",
        "zhao2023",
    ),
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
