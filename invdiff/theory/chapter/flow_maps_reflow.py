"""Reflow: the pairs of a flow lie nearer each other, and lines join them."""

from __future__ import annotations

import numpy as np
import torch

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
from invdiff.theory.chapter.laws import MEANS, VARIANCES, WEIGHTS, points, two_modes
from invdiff.theory.chapter.quadrature import log_normal, quantile

__all__ = ["FACTS"]


def _cost_falls() -> Reading:
    x0 = torch.special.ndtri((points(0, 1999, 2000) + 0.5) / 2000).unsqueeze(1)
    velocity, times = MixtureProcess(OneSided(), two_modes()).velocity, time_grid(60, 0.0, 1.0)
    cost = transport_cost(reflow_pairs(velocity, x0, times))
    bent = straightness(velocity, x0, times)
    independent = 1 + float((WEIGHTS * (MEANS**2 + VARIANCES)).sum())
    energy = _energy()
    names = ["independent ends", "energy of the velocity", "pairs of the flow", "optimal"]
    optimal = float((quantile(two_modes(), torch.special.ndtr(x0)) - x0).square().mean())
    return Reading(
        cost + bent, energy, 2e-3, "2000 quantiles in place of the noise, and 60 steps",
        lambda axes: draw_bars(
            axes, names, [independent, energy, cost, optimal], "mean of |x1 - x0|^2"
        ),
    )  # fmt: skip


def _energy() -> float:
    """Integrate the square of the mean of x1 - x0 given x_t over place and time."""
    nodes, weights = np.polynomial.legendre.leggauss(24)
    x, total = points(-9, 9, 3001), 0.0
    for time, weight in zip((1 + nodes) / 2, weights / 2, strict=True):
        variance = (1 - time) ** 2 + time**2 * VARIANCES
        offset = x.unsqueeze(1) - time * MEANS
        density = WEIGHTS * log_normal(offset, 0.0, variance).exp()
        mean = MEANS + (time * VARIANCES - (1 - time)) / variance * offset
        velocity = (density * mean).sum(1) / density.sum(1).clamp(min=1e-300)
        total += weight * float(torch.trapezoid(density.sum(1) * velocity**2, x))
    return total


def _cost_on_the_line() -> Reading:
    """Pair the quantiles of the noise, which only a map that keeps their order may."""
    shares, target = (points(0, 399, 400) + 0.5) / 400, two_modes()
    x0 = torch.special.ndtri(shares)
    velocity = MixtureProcess(OneSided(), target).velocity
    pairs = reflow_pairs(velocity, x0.unsqueeze(1), time_grid(200, 0.0, 1.0))
    x1, exact = pairs.x1[:, 0], quantile(target, shares)
    cost = float((exact - x0).square().mean())
    return Reading(
        transport_cost(pairs), cost, 1e-4, "200 Heun steps, of second order",
        lambda axes: draw_curves(axes, x0, exact, {"flow": x1}, "noise x0", "data x1"),
    )  # fmt: skip


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
    exact = float(torch.trapezoid((values.sqrt() - 1 - speed).square().sum(0), t))
    return Reading(
        measured + reflowed, exact, 1e-4, "200 steps of the midpoint rule; nothing after reflow",
        lambda axes: draw_curves(
            axes, t, None, curves, "time", "spread along each axis"
        ),
    )  # fmt: skip


FACTS = (
    Fact(
        "reflow-cost-falls",
        "The pairs that a flow makes lie nearer each other than the independent ends that it was "
        "learned from: by all that the velocity averages away, and by how far its paths are from "
        "straight lines.",
        r"E |x_1 - x_0|^2_{\text{flow}} + S = \int_0^1 E |b(x_t, t)|^2 dt = "
        r"E |x_1 - x_0|^2 - \int_0^1 E\, \mathrm{tr}\, \mathrm{Cov}(x_1 - x_0 \mid x_t)\, dt",
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
