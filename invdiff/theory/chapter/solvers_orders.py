"""Orders of the solvers of the probability flow, against its exact end."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from invdiff.samplers import karras_sigmas
from invdiff.superres.integrators import Integrator, integrator_named
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import two_modes
from invdiff.theory.chapter.orders import order_reading
from invdiff.theory.chapter.quadrature import exact_flow

__all__ = ["FACTS"]

_HIGH, _LOW = 3.0, 0.3


def _errors(integrator: Integrator, counts: Sequence[int]) -> list[float]:
    prior, x = two_modes(), torch.linspace(-5, 5, 21, dtype=torch.float64).unsqueeze(1)
    exact = exact_flow(prior, x, _HIGH, _LOW)
    grids = (karras_sigmas(count + 1, _HIGH, _LOW) for count in counts)
    return [float((integrator(prior, x, grid) - exact).square().mean().sqrt()) for grid in grids]


def _order(name: str, order: int) -> Reading:
    counts = (64, 96, 128, 192, 256)
    lines = {name: (_errors(integrator_named(name), counts), float(order))}
    if name != "ddim":
        lines["ddim"] = (_errors(integrator_named("ddim"), counts), 1.0)
    return order_reading(lines, counts)


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
)
