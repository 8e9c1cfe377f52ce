"""One step of a flow, before its reflow, on the way to it, and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.interpolants.annealed_reflow import annealed_gaussian
from invdiff.interpolants.couplings import Draw
from invdiff.interpolants.gaussian_coupling import JointGaussianProcess
from invdiff.interpolants.integrators import integrate_ode, time_grid
from invdiff.interpolants.one_step import OneStepLoss, OneStepPrior
from invdiff.interpolants.rectified_flow import ReflowedGaussian, rectified, straightness
from invdiff.theory.chapter.affine import sigma_points
from invdiff.theory.chapter.drawing import COLORS, GREY, draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.flow_maps_laws import MEAN, SPREAD, from_noise, power
from invdiff.theory.chapter.laws import ROUNDING, normals, points, tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_EYE = torch.eye(2, dtype=torch.float64)


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


def _one_step() -> Reading:
    z = normals("reflowed-one-step", 200, 2)
    prior = OneStepPrior(ReflowedGaussian(MEAN, SPREAD).velocity, (2,))
    curved = OneStepPrior(from_noise().velocity, (2,))(z)
    measured, exact = prior(z), MEAN + z @ power(SPREAD, 0.5)

    def draw(axes: Axes) -> None:
        axes.plot(exact[:, 0], exact[:, 1], "o", color=GREY, fillstyle="none", label="exact")
        axes.plot(measured[:, 0], measured[:, 1], ".", color=COLORS[0], label="after reflow")
        axes.plot(curved[:, 0], curved[:, 1], "s", color=COLORS[1], label="before")
        axes.set(xlabel="x_1", ylabel="x_2")
        axes.legend(frameon=False, fontsize=7, title="one Euler step", title_fontsize=7)

    return Reading(float((measured - exact).abs().max()), 0.0, 1e-12, ROUNDING, draw)


def _annealed() -> Reading:
    betas, x, t = points(0, 1, 11), normals("annealed-pairs", 64, 2), points(0.02, 0.98, 64)
    x0, times = sigma_points(2), time_grid(20, 0.0, 1.0)
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

    return Reading(float((curved + straight).mean()), float(exact.mean()), 1e-10, ROUNDING, draw)


FACTS = (
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
