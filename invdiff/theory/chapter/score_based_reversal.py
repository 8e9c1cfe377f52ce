"""The reverse of a noising process restores the law that it began with."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.interpolants.diffusion import ConstantEpsilon
from invdiff.interpolants.integrators import time_grid
from invdiff.interpolants.interpolant import OneSided
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.paths import TrigonometricPath
from invdiff.interpolants.process import Process
from invdiff.interpolants.sde import integrate_sde
from invdiff.priors import GaussianPrior
from invdiff.theory.chapter.drawing import COLORS, GREY, draw_order
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.score_based_laws import normals, points, tensor, two_bumps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_MEAN, _VARIANCE, _EPSILON = 0.8, 0.3, 0.7


def _gaussian() -> Reading:
    """Step mean and variance: one step is affine, so that two points and one noise say all."""
    steps = [10, 30, 100]
    prior = GaussianPrior(tensor([_MEAN]), tensor([[_VARIANCE]]))
    process = MixtureProcess(OneSided(TrigonometricPath()), prior)
    wanted = _marginal(tensor(0.95))
    errors = [abs(_reversed_variance(process, count) - wanted) for count in steps]
    return Reading(
        wanted + errors[-1], wanted, 2e-5,
        "Heun's steps, whose error falls with the square of their length (dashed)",
        lambda axes: draw_order(axes, steps, {"variance": (errors, -2.0)}, "steps"),
    )  # fmt: skip


def _reversed_variance(process: Process, count: int) -> float:
    times = time_grid(count, 0.05, 0.95)
    variance = _marginal(times[0])
    x, n = tensor([[0.0], [1.0], [0.0]]), tensor([[0.0], [0.0], [1.0]])
    for pair in pairwise(times):
        end = integrate_sde(
            process, x, torch.stack(pair), epsilon=ConstantEpsilon(_EPSILON),
            noise=lambda: n, method="heun",
        )  # fmt: skip
        kept, added = end[1] - end[0], end[2] - end[0]
        variance = float(kept**2 * variance + added**2)
    return variance


def _marginal(t: Tensor) -> float:
    angle = math.pi / 2 * float(t)
    return math.cos(angle) ** 2 + math.sin(angle) ** 2 * _VARIANCE


def _mixture() -> Reading:
    count = 5000
    law, process = two_bumps(), MixtureProcess(OneSided(TrigonometricPath()), two_bumps())
    noise = iter(normals("reverse-of-a-mixture", 61, count, 1))
    x = integrate_sde(
        process, next(noise), time_grid(60, 0.0, 0.999), epsilon=ConstantEpsilon(_EPSILON),
        noise=lambda: next(noise), method="heun",
    )  # fmt: skip
    # between the modes, 4 and 3.4 standard deviations from them
    share = float((x < -0.7).double().mean())
    exact = 0.3 * _below(4.0) + 0.7 * _below(-3.4)
    grid = points(-3, 3, 400)

    def draw(axes: Axes) -> None:
        axes.hist(x[:, 0], bins=80, density=True, color=COLORS[1], alpha=0.5, label="reverse SDE")
        axes.plot(grid, law.log_prob(grid.unsqueeze(-1)).exp(), color=GREY, label="exact")
        axes.set(xlabel="x", ylabel="density")
        axes.legend(frameon=False, fontsize=7)

    return Reading(
        share, exact, 4.5 * math.sqrt(exact * (1 - exact) / count),
        "4.5 standard errors of a share of independent draws", draw,
    )  # fmt: skip


def _below(z: float) -> float:
    return (1 + math.erf(z / math.sqrt(2))) / 2


FACTS = (
    Fact(
        "reverse-sde-of-a-gaussian",
        "The reverse-time SDE, with the score in its drift, takes the noisy law back to the clean "
        "one; for a Gaussian its mean and variance can be stepped without any draw.",
        r"dx = (b + \epsilon \nabla \log p_t)\, dt + \sqrt{2 \epsilon}\, dW: \quad x_t \sim p_t",
        ("anderson1982", "song2021"),
        _gaussian,
    ),
    Fact(
        "reverse-sde-of-a-mixture",
        "From pure noise it also finds modes of different weight, each with its share.",
        r"P(x_1 < -0.7) = 0.3\, \Phi(4) + 0.7\, \Phi(-3.4)",
        ("anderson1982", "song2021"),
        _mixture,
    ),
)
