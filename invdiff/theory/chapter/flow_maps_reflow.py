"""Reflow: the pairs of a flow lie nearer each other, and lines join them."""

from __future__ import annotations


import torch
from torch import Tensor

from invdiff.interpolants.integrators import time_grid
from invdiff.interpolants.interpolant import OneSided
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.rectified_flow import (
    ReflowedGaussian,
    reflow_pairs,
    straightness,
    transport_cost,
)
from invdiff.theory.chapter.affine import sigma_points
from invdiff.theory.chapter.drawing import draw_bars, draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.flow_maps_laws import MEAN, SPREAD, from_noise
from invdiff.theory.chapter.laws import normals, points, tensor, three_modes, two_modes
from invdiff.theory.chapter.quadrature import quadrature

__all__ = ["FACTS"]

_EYE = torch.eye(2, dtype=torch.float64)


def _cost_falls() -> Reading:
    target, x0 = three_modes(), normals("reflow-cost", 2000, 2)
    process = MixtureProcess(OneSided(), target)
    pairs = reflow_pairs(process.velocity, x0, time_grid(30, 0.0, 1.0))
    # of independent ends: the squares of both, and nothing between them
    means = tensor([[-1.5, 0.0], [1.0, 1.0], [0.5, -2.0]])
    square = float((tensor([0.5, 0.3, 0.2]) * (means.square().sum(1) + 2 * 0.3)).sum())
    error = float((pairs.x1 - x0).square().sum(1).std()) / len(x0) ** 0.5
    cost = transport_cost(pairs)
    return Reading(
        cost, 2 + square, 4.5 * error, "4.5 standard errors of a mean of 2000 pairs",
        lambda axes: draw_bars(
            axes, ["independent", "pairs of the flow"], [2 + square, cost], "mean of |x1 - x0|^2"
        ),
        "<=",
    )  # fmt: skip


def _cost_on_the_line() -> Reading:
    """Pair the quantiles of the noise, which only a map that keeps their order may."""
    shares, target = (points(0, 399, 400) + 0.5) / 400, two_modes()
    x0 = torch.special.ndtri(shares)
    velocity = MixtureProcess(OneSided(), target).velocity
    pairs = reflow_pairs(velocity, x0.unsqueeze(1), time_grid(200, 0.0, 1.0))
    x1, exact = pairs.x1[:, 0], _quantiles(shares)
    cost = float((exact - x0).square().mean())
    return Reading(
        transport_cost(pairs), cost, 1e-4, "200 Heun steps, of second order",
        lambda axes: draw_curves(axes, x0, exact, {"flow": x1}, "noise x0", "data x1"),
    )  # fmt: skip


def _quantiles(shares: Tensor) -> Tensor:
    """Return where the two modes have these shares below, by halving."""
    low, high = torch.full_like(shares, -8), torch.full_like(shares, 8)
    for _ in range(60):
        middle = (low + high) / 2
        off = (middle.unsqueeze(1) - tensor([-1.5, 1.0])) / tensor([0.2, 0.5])
        below = (tensor([0.3, 0.7]) * torch.special.ndtr(off)).sum(1) < shares
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def _cost_is_optimal() -> Reading:
    x0, times = sigma_points(2), time_grid(200, 0.0, 1.0)
    first = transport_cost(reflow_pairs(from_noise().velocity, x0, times))
    flow = ReflowedGaussian(MEAN, SPREAD)
    second = transport_cost(reflow_pairs(flow.velocity, x0, times))
    roots = torch.linalg.eigvalsh(SPREAD).sqrt()
    exact = float(MEAN.square().sum() + (roots - 1).square().sum())
    independent = float(MEAN.square().sum() + SPREAD.trace() + 2)
    names = ["independent", "first reflow", "second reflow", "optimal"]
    worst = max(first, second, key=lambda cost: abs(cost - exact))
    return Reading(
        worst, exact, 1e-4, "200 Heun steps, of second order",
        lambda axes: draw_bars(
            axes, names, [independent, first, second, exact], "mean of |x1 - x0|^2"
        ),
    )  # fmt: skip


def _straightness() -> Reading:
    x0, times = sigma_points(2), time_grid(200, 0.0, 1.0)
    measured = straightness(from_noise().velocity, x0, times)
    reflowed = straightness(ReflowedGaussian(MEAN, SPREAD).velocity, x0, times)
    t, values = points(0, 1, 4001), torch.linalg.eigvalsh(SPREAD).unsqueeze(1)
    std = ((1 - t) ** 2 + t**2 * values).sqrt()
    speed = (t * values - (1 - t)) / std
    curves = {f"eigenvalue {float(v):.2f}": s for v, s in zip(values, std, strict=True)}
    exact = float(quadrature((values.sqrt() - 1 - speed).square().sum(0), t))
    return Reading(
        measured + reflowed, exact, 1e-4, "200 steps of the midpoint rule; nothing after reflow",
        lambda axes: draw_curves(
            axes, t, None, curves, "time", "spread along each axis (straight: a line)"
        ),
    )  # fmt: skip


FACTS = (
    Fact(
        "reflow-cost-falls",
        "The pairs that a flow makes lie no farther apart than the independent ends that it was "
        "learned from.",
        r"E |x_1 - x_0|^2_{\text{flow}} \le E |x_1 - x_0|^2_{\text{independent}}",
        ("liu2023flow",),
        _cost_falls,
    ),
    Fact(
        "reflow-cost-on-the-line",
        "On the line the flow keeps the order of points, so that its pairs are the optimal ones "
        "whatever the law.",
        r"E |x_1 - x_0|^2 = \int_0^1 (F_1^{-1}(u) - F_0^{-1}(u))^2 du = W_2^2",
        ("liu2023flow",),
        _cost_on_the_line,
    ),
    Fact(
        "reflow-cost-of-gaussians",
        "From white noise to a Gaussian the first flow has the optimal pairs already; a second "
        "reflow leaves them as they are.",
        r"E |x_1 - x_0|^2 = |m|^2 + \mathrm{tr} (S^{1/2} - I)^2 = W_2^2",
        ("liu2023flow",),
        _cost_is_optimal,
    ),
    Fact(
        "straightness-of-a-flow",
        "Optimal ends are not yet straight paths: the first flow squeezes on its way. Its distance "
        "from lines is an integral over time, and nothing is left of it after reflow.",
        r"\int_0^1 E |x_1 - x_0 - b(x_t, t)|^2 dt "
        r"= \int_0^1 \sum_i (\sqrt{s_i} - 1 - \dot v_i)^2 dt, \quad v_i^2 = (1 - t)^2 + t^2 s_i",
        ("liu2023flow",),
        _straightness,
    ),
)
