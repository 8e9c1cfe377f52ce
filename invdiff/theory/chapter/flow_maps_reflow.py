"""Straightening a flow by its own pairs, and what one step then costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.interpolants.annealed_reflow import annealed_gaussian
from invdiff.interpolants.couplings import Draw
from invdiff.interpolants.gaussian_coupling import JointGaussianProcess
from invdiff.interpolants.integrators import integrate_ode, time_grid
from invdiff.interpolants.interpolant import OneSided
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.one_step import OneStepLoss, OneStepPrior
from invdiff.interpolants.rectified_flow import (
    ReflowedGaussian,
    rectified,
    reflow_pairs,
    straightness,
    transport_cost,
)
from invdiff.theory.chapter.drawing import COLORS, GREY, draw_bars, draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.flow_maps_laws import MEAN, SPREAD, from_noise, power, sigma_points
from invdiff.theory.chapter.score_based_laws import (
    ROUNDING,
    normals,
    points,
    quadrature,
    tensor,
    three_modes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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


def _one_step() -> Reading:
    z = normals("reflowed-one-step", 200, 2)
    prior = OneStepPrior(ReflowedGaussian(MEAN, SPREAD).velocity, (2,))
    curved = OneStepPrior(from_noise().velocity, (2,))(z)
    measured, exact = prior(z), MEAN + z @ power(SPREAD, 0.5)

    def draw(axes: Axes) -> None:
        axes.plot(exact[:, 0], exact[:, 1], "o", color=GREY, fillstyle="none", label="exact")
        axes.plot(measured[:, 0], measured[:, 1], ".", color=COLORS[0], label="after reflow")
        axes.plot(curved[:, 0], curved[:, 1], ".", color=COLORS[1], label="before")
        axes.set(xlabel="x_1", ylabel="x_2")
        axes.legend(frameon=False, fontsize=7, title="one Euler step", title_fontsize=7)

    return Reading(float((measured - exact).abs().max()), 0.0, 1e-12, ROUNDING, draw)


def _straightness() -> Reading:
    x0, times = sigma_points(2), time_grid(200, 0.0, 1.0)
    measured = straightness(from_noise().velocity, x0, times)
    reflowed = straightness(ReflowedGaussian(MEAN, SPREAD).velocity, x0, times)
    t, values = points(0, 1, 4001), torch.linalg.eigvalsh(SPREAD).unsqueeze(1)
    std = ((1 - t) ** 2 + t**2 * values).sqrt()
    speed = (t * values - (1 - t)) / std
    exact = float(quadrature((values.sqrt() - 1 - speed).square().sum(0), t))
    return Reading(
        measured + reflowed, exact, 1e-4, "200 steps of the midpoint rule; nothing after reflow",
        lambda axes: draw_curves(
            axes, t, None, {f"eigenvalue {float(v):.2f}": s for v, s in zip(values, std, strict=True)},
            "time", "spread along each axis (straight: a line)",
        ),
    )  # fmt: skip


def _annealed() -> Reading:
    betas, x, t = points(0, 1, 21), normals("annealed-pairs", 64, 2), points(0.02, 0.98, 64)
    x0, times = sigma_points(2), time_grid(40, 0.0, 1.0)
    errors, bends = [], []
    for beta in betas:
        process = JointGaussianProcess(rectified(), annealed_gaussian(MEAN, SPREAD, float(beta)))
        exact = _annealed_velocity(x, t, float(beta))
        errors.append(float((process.velocity(x, t) - exact).abs().max()))
        bends.append(straightness(process.velocity, x0, times))
    return Reading(
        max(errors), 0.0, 1e-10, ROUNDING,
        lambda axes: draw_curves(
            axes, betas, None, {"distance from straight lines": tensor(bends)},
            "beta (0: reflow, 1: independent ends)", "straightness S",
        ),
    )  # fmt: skip


def _annealed_velocity(x: Tensor, t: Tensor, beta: float) -> Tensor:
    t = t.reshape(-1, 1, 1)
    cross = (1 - beta**2) ** 0.5 * power(SPREAD, 0.5)
    total = (1 - t) ** 2 * _EYE + t**2 * SPREAD + 2 * t * (1 - t) * cross
    along = (t - 1) * _EYE + t * SPREAD + (1 - 2 * t) * cross
    offset = (x - t[:, 0] * MEAN).unsqueeze(-1)
    return MEAN + (along @ torch.linalg.solve(total, offset)).squeeze(-1)


def _distillation() -> Reading:
    z, t = normals("one-step-distillation", 256, 2), points(0.2, 0.8, 256)
    root, loss = power(SPREAD, 0.5), OneStepLoss()
    pairs = Draw(z, MEAN + z @ root)

    def student(x: Tensor, time: Tensor) -> Tensor:
        return MEAN + x @ root - x

    straight = loss(student, ReflowedGaussian(MEAN, SPREAD).velocity, pairs, t)
    curved = loss(student, from_noise().velocity, pairs, t)
    miss = z + t.unsqueeze(1) * student(z, t)
    miss = miss + (1 - t.unsqueeze(1)) * _annealed_velocity(miss, t, 1.0) - pairs.x1
    exact = miss.square().sum(1)

    def draw(axes: Axes) -> None:
        axes.plot(t, exact, "o", color=GREY, fillstyle="none", label="curved, exact")
        axes.plot(t, curved, ".", color=COLORS[1], label="curved teacher")
        axes.plot(t, straight, ".", color=COLORS[0], label="straight teacher")
        axes.set(xlabel="time on the line", ylabel="loss of the true map")
        axes.legend(frameon=False, fontsize=7)

    return Reading(
        float((curved + straight).mean()), float(exact.mean()), 1e-10, ROUNDING, draw
    )


def _few_steps() -> Reading:
    x0, root = sigma_points(2), power(SPREAD, 0.5)
    exact_ends, steps = MEAN + x0 @ root, [1, 2, 4, 8, 16, 32]
    errors = []
    for count in steps:
        times = time_grid(count, 0.0, 1.0)
        ends = integrate_ode(from_noise().velocity, x0, times, method="euler")
        errors.append(float((ends - exact_ends).square().sum(1).mean().sqrt()))
    # at time 0 the flow of independent ends goes to the mean of the data, whatever the noise
    exact = float(SPREAD.trace() ** 0.5)

    def draw(axes: Axes) -> None:
        axes.loglog(steps, errors, "o-", color=COLORS[1], markersize=3.5, label="before reflow")
        axes.axhline(exact, color=GREY, linestyle="--", linewidth=1, label="spread of the data")
        axes.set(xlabel="Euler steps", ylabel="root mean square error")
        axes.legend(frameon=False, fontsize=7)

    return Reading(errors[0], exact, 1e-10, ROUNDING, draw)


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
    Fact(
        "one-step-before-reflow",
        "One Euler step of a flow of independent ends makes every noise the mean of the data: all "
        "of the spread is lost.",
        r"x_0 + b(x_0, 0) = E[x_1]",
        ("liu2023flow",),
        _few_steps,
    ),
    Fact(
        "one-step-after-reflow",
        "After one reflow the paths are straight, and one Euler step is the whole flow.",
        r"x_0 + b(x_0, 0) = m + S^{1/2} x_0",
        ("liu2023flow",),
        _one_step,
    ),
    Fact(
        "annealed-reflow",
        "Between independent ends and the pairs of a flow there is a family of laws, each with a "
        "velocity in closed form; the less noise is added anew, the straighter.",
        r"x_0' = \sqrt{1 - \beta^2}\, x_0 + \beta n, \quad "
        r"\mathrm{Cov}(x_0', x_1) = \sqrt{1 - \beta^2}\, S^{1/2}",
        ("zhu2024slimflow",),
        _annealed,
    ),
    Fact(
        "one-step-distillation",
        "The true one-step map has no loss under a straight teacher, on pairs and along its own "
        "lines. Under a curved one the lines are the wrong ones, and even the true map has a loss.",
        r"|x_0 + u - x_1|^2 + |x_0 + u - x_t - (1 - t) v(x_t, t)|^2, \quad x_t = x_0 + t u",
        ("zhu2024slimflow",),
        _distillation,
    ),
)
