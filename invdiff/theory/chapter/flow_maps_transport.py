"""Optimal transport of Gaussians, as what a bridge becomes without noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.interpolants.process import Field
from invdiff.interpolants.schroedinger_gaussian import GaussianSchroedingerBridge, bures_distance
from invdiff.theory.chapter.drawing import COLORS, draw_bars, draw_order
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.flow_maps_laws import MEAN, NARROW, SPREAD, START, bridge
from invdiff.theory.chapter.laws import ROUNDING, points, tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]


def _without_noise() -> Reading:
    variances = [1.0, 0.3, 0.1, 0.03, 0.01, 0.003]
    costs = tensor([_cost(variance) for variance in variances])
    square = float((MEAN - START).square().sum()) + _square_distance()
    exact = tensor([_known_cost(v) for v in variances])
    worst = int((costs - exact).abs().argmax())
    excess = (costs - square).tolist()
    return Reading(
        float(costs[worst]), float(exact[worst]), 1e-10, ROUNDING,
        lambda axes: draw_order(
            axes, variances, {"bridge": (excess, 1.0)}, "variance of the noise",
            "cost above the optimal one",
        ),
    )  # fmt: skip


def _cost(variance: float) -> float:
    """Return E |x1 - x0|^2 of the ends of the bridge."""
    cross = bridge(variance).coupling.cross
    return float((MEAN - START).square().sum() + (NARROW + SPREAD - 2 * cross).trace())


def _known_cost(variance: float) -> float:
    # the eigenvalues of a product, which needs no root of a matrix
    roots = (torch.linalg.eigvals(NARROW @ SPREAD).real + variance**2 / 4).sqrt()
    moved = (MEAN - START).square().sum() + (NARROW + SPREAD).trace()
    return float(moved - 2 * roots.sum() + 2 * variance)


def _square_distance() -> float:
    # the same without noise
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


def _bridge_drift() -> Reading:
    """Check Hamilton's equation for the drift of a Schroedinger bridge in the plane."""
    process, x = bridge(0.7), points(-2, 2, 24).reshape(-1, 2)
    times = (0.1, 0.4, 0.7, 0.9)
    own = [_acceleration(process.drift, x, t, process) for t in times]
    flow = [_acceleration(process.velocity, x, t, process) for t in times]
    return Reading(
        max(own),
        0.0,
        1e-10,
        ROUNDING,
        lambda axes: draw_bars(
            axes,
            [*(f"bridge, t = {t}" for t in times), *(f"its ODE, t = {t}" for t in times)],
            own + flow,
            "acceleration left over",
            1e-10,
        ),
    )


def _acceleration(
    drift: Field, x: Tensor, time: float, process: GaussianSchroedingerBridge
) -> float:
    r"""Return the largest of :math:`\partial_t u + (u \cdot \nabla) u + \epsilon \Delta u`."""
    x = x.clone().requires_grad_()
    t = torch.full((len(x),), time, dtype=torch.float64, requires_grad=True)
    u, left = drift(x, t), []
    for part in u.unbind(1):
        by_x, by_t = torch.autograd.grad(part.sum(), (x, t), create_graph=True)
        second = [
            # nothing of x is left in the slope of a linear field
            torch.autograd.grad(
                by_x[:, i].sum(), x, retain_graph=True, allow_unused=True, materialize_grads=True
            )[0][:, i]
            for i in range(2)
        ]
        left.append(by_t + (by_x * u).sum(1) + process.variance / 2 * torch.stack(second).sum(0))
    return float(torch.stack(left).detach().abs().max())


FACTS = (
    Fact(
        "schroedinger-bridge-is-optimal",
        "The drift of a Schroedinger bridge solves Hamilton's equation, so that along its paths it "
        "stays the same on average. That of its own ODE does not.",
        r"\partial_t u + (u \cdot \nabla) u + \epsilon \Delta u = 0, \qquad u = b + \epsilon s",
        ("bunne2023",),
        _bridge_drift,
    ),
    Fact(
        "schroedinger-without-noise",
        "As its noise goes to 0 the bridge becomes optimal transport: the cost of its ends tends "
        "to the squared Wasserstein distance, from above and in proportion to the noise.",
        r"E |x_1 - x_0|^2 = W_2^2 + n \sigma^2 - 2 \sum_i \Bigl(\sqrt{\lambda_i + \sigma^4 / 4} - "
        r"\sqrt{\lambda_i}\Bigr), \qquad \lambda_i = \lambda_i(S_0 S_1)",
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
