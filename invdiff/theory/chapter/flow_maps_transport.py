"""Optimal transport of Gaussians, as what a bridge becomes without noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from invdiff.interpolants.schroedinger_gaussian import bures_distance
from invdiff.theory.chapter.drawing import COLORS, draw_order
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.flow_maps_laws import MEAN, NARROW, SPREAD, START, bridge
from invdiff.theory.chapter.score_based_laws import ROUNDING, points, tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]


def _without_noise() -> Reading:
    variances = [1.0, 0.3, 0.1, 0.03, 0.01, 0.003]
    square = float((MEAN - START).square().sum()) + _square_distance()
    excess = [_cost(variance) - square for variance in variances]
    # linear in the noise: two costs extrapolate to none
    limit = (10 * _cost(1e-4) - _cost(1e-3)) / 9

    def draw(axes: Axes) -> None:
        draw_order(axes, variances, {"E|x1 - x0|^2 - W2^2": (excess, 1.0)}, "variance of the noise")
        axes.set(ylabel="cost above the optimal one")

    return Reading(limit, square, 1e-5, "the square of a noise of variance 1e-3", draw)


def _cost(variance: float) -> float:
    """Return E |x1 - x0|^2 of the ends of the bridge."""
    cross = bridge(variance).coupling.cross
    return float((MEAN - START).square().sum() + (NARROW + SPREAD - 2 * cross).trace())


def _square_distance() -> float:
    # the roots of the eigenvalues of a product, which needs no root of a matrix
    fidelity = torch.linalg.eigvals(NARROW @ SPREAD).real.sqrt().sum()
    return float(NARROW.trace() + SPREAD.trace() - 2 * fidelity)


def _distance() -> Reading:
    measured, exact = bures_distance(NARROW, SPREAD), _square_distance() ** 0.5

    def draw(axes: Axes) -> None:
        angle = points(0, 2 * math.pi, 200)
        circle = torch.stack([angle.cos(), angle.sin()])
        for number, t in enumerate(tensor([0.0, 0.5, 1.0])):
            mean, covariance = bridge(1e-4).marginal(t)
            x = mean.unsqueeze(1) + torch.linalg.cholesky(covariance) @ circle
            axes.plot(x[0], x[1], color=COLORS[number], label=f"t = {float(t):g}")
        axes.set(xlabel="x_1", ylabel="x_2")
        axes.legend(frameon=False, fontsize=7)

    return Reading(measured, exact, 1e-12, ROUNDING, draw)


FACTS = (
    Fact(
        "schroedinger-without-noise",
        "As its noise goes to 0 the bridge becomes optimal transport: the cost of its ends "
        "tends to the squared Wasserstein distance.",
        r"E |x_1 - x_0|^2 = W_2^2 + O(\sigma^2)",
        ("bunne2023", "leonard2014"),
        _without_noise,
    ),
    Fact(
        "bures-distance",
        "Between Gaussians the Wasserstein distance is known: of the covariances only the "
        "eigenvalues of their product are needed.",
        r"W_2^2 = \mathrm{tr}(S_0 + S_1) - 2 \sum_i \sqrt{\lambda_i(S_0 S_1)}",
        ("bunne2023",),
        _distance,
    ),
)
