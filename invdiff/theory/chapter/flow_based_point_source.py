"""A process that starts in one point and ends in the law of what comes next."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.interpolants import (
    ConstantEpsilon,
    Epsilon,
    PointSource,
    foellmer,
    forecast,
    time_grid,
)
from invdiff.rng import derive_generator
from invdiff.theory.chapter.drawing import COLORS
from invdiff.theory.chapter.fact import Fact, Reading

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

# the law of what comes next, given the present: N(0.8 x0 + 0.3, 0.3)
_SLOPE, _OFFSET, _VARIANCE, _NUM_MEMBERS = 0.8, 0.3, 0.3, 3000


def _forecast() -> Reading:
    present = torch.tensor([[-1.5], [0.0], [1.2]], dtype=torch.float64)
    mean = _SLOPE * present[:, 0] + _OFFSET
    draws = [_drawn(present, epsilon) for epsilon in (None, ConstantEpsilon(0.5))]
    scores = [
        torch.cat([(x.mean(0) - mean) / _VARIANCE**0.5, (x.var(0) / _VARIANCE - 1) / math.sqrt(2)])
        for x in draws
    ]
    return Reading(
        float(torch.cat(scores).abs().max()) * _NUM_MEMBERS**0.5,
        4.5,
        0.0,
        "4.5 standard errors of means and variances given 3 presents, for 2 amounts of noise",
        lambda axes: _draw_forecast(axes, draws[0], mean),
        "<=",
    )


def _drawn(present: Tensor, epsilon: Epsilon | None) -> Tensor:
    """Return an ensemble of what comes next, ``(members, presents)``."""
    process = PointSource(foellmer(), _drift)
    generator = derive_generator(0, "point-source")
    times = time_grid(200, 0.0, 1.0)
    members = forecast(
        process, present, times, num_members=_NUM_MEMBERS, generator=generator, epsilon=epsilon
    )
    return members[:, :, 0]


def _drift(x: Tensor, t: Tensor, x0: Tensor) -> Tensor:
    """Return the mean of -x0 + 2 t x1 - W given x_t = (1 - t) x0 + t^2 x1 + (1 - t) W."""
    t = t.reshape(-1, *[1] * (x.ndim - 1)) if t.ndim else t
    mean = _SLOPE * x0 + _OFFSET
    variance = t**4 * _VARIANCE + (1 - t) ** 2 * t
    # 0 / 0 at the start, where nothing is known of either
    surprise = (x - (1 - t) * x0 - t**2 * mean) / variance.clamp(min=1e-300)
    return -x0 + 2 * t * (mean + t**2 * _VARIANCE * surprise) - (1 - t) * t * surprise


def _draw_forecast(axes: Axes, members: Tensor, mean: Tensor) -> None:
    points = torch.linspace(-3.2, 3.6, 200, dtype=torch.float64)
    for color, name, values, centre in zip(
        COLORS, ("-1.5", "0", "1.2"), members.unbind(1), mean.tolist(), strict=False
    ):
        density = (-((points - centre) ** 2) / (2 * _VARIANCE)).exp()
        density = density / math.sqrt(2 * math.pi * _VARIANCE)
        axes.hist(values.numpy(), 30, density=True, color=color, alpha=0.35)
        axes.plot(points.numpy(), density.numpy(), color=color, label=f"given x0 = {name}")
    axes.set(xlabel="x at t = 1", ylabel="density")
    axes.legend(frameon=False, fontsize=7)


FACTS = (
    Fact(
        "point-source-gives-the-conditional-law",
        "An SDE that starts in the present itself, with the drift that a square loss finds from "
        "pairs, ends in the law of what comes next given that present.",
        r"dX = b_F(X, t, x_0)\, dt + \sigma (1 - t)\, dW, \; X_0 = x_0 \;\Rightarrow\; "
        r"X_1 \sim p(x_1 \mid x_0)",
        ("chen2024",),
        _forecast,
    ),
)
