"""The reverse of a noising process restores the law that it began with."""

from __future__ import annotations

import math
from itertools import pairwise

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
from invdiff.theory.chapter.drawing import draw_order
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import tensor

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


FACTS = (
    Fact(
        "reverse-sde-of-a-gaussian",
        "The reverse-time SDE, with the score in its drift, takes the noisy law back to the clean "
        "one; for a Gaussian its mean and variance can be stepped without any draw.",
        r"dx = (b + \epsilon \nabla \log p_t)\, dt + \sqrt{2 \epsilon}\, dW: \quad x_t \sim p_t",
        ("anderson1982", "song2021"),
        _gaussian,
    ),
)
