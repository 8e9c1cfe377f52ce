"""Flows made of other flows: on another schedule, or of experts for parts of the data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.interpolants import (
    ConvertedProcess,
    DenoiserProcess,
    Interpolant,
    MixtureProcess,
    OneSided,
    TrigonometricPath,
)
from invdiff.priors import MixtureRouter, RoutedPrior, mixture_components
from invdiff.theory.chapter.drawing import COLORS, draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.flow_based_example import line_grid
from invdiff.theory.chapter.identity import identity_reading
from invdiff.theory.chapter.laws import MEANS, ROUNDING, VARIANCES, WEIGHTS, two_modes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]


def _conversion() -> Reading:
    x, t = line_grid()
    flow = MixtureProcess(OneSided(), two_modes())
    converted = ConvertedProcess(flow, OneSided(TrigonometricPath()))
    angle = math.pi / 2 * t
    exact = _velocity(
        x, angle.sin(), angle.cos(), math.pi / 2 * angle.cos(), -math.pi / 2 * angle.sin()
    )
    measured = converted.velocity(x[:, None], t)[:, 0]
    return identity_reading(
        exact,
        measured,
        1e-10,
        ("velocity of the new path", "converted velocity"),
        "rounding of the search for the time in double precision",
    )


def _velocity(
    x: Tensor, beta: Tensor, gamma: Tensor, beta_dot: Tensor, gamma_dot: Tensor
) -> Tensor:
    r"""Return the velocity of :math:`x_t = \beta x_1 + \gamma z` by its formula, ``(points,)``."""
    x, beta, gamma, beta_dot, gamma_dot = (
        part.unsqueeze(-1) for part in (x, beta, gamma, beta_dot, gamma_dot)
    )
    variance = beta**2 * VARIANCES + gamma**2
    offset = x - beta * MEANS
    share = (WEIGHTS.log() - offset**2 / (2 * variance) - variance.log() / 2).softmax(-1)
    slope = (beta * beta_dot * VARIANCES + gamma * gamma_dot) / variance
    return (share * (beta_dot * MEANS + slope * offset)).sum(-1)


def _experts() -> Reading:
    x, t = line_grid()
    one = torch.ones_like(t)
    exact = _velocity(x, t, 1 - t, one, -one)
    measured = _routed(OneSided(), None).velocity(x[:, None], t)[:, 0]
    return Reading(float((measured - exact).abs().max()), 0.0, 1e-12, ROUNDING, _draw_experts)


def _routed(interpolant: Interpolant, top: int | None) -> DenoiserProcess:
    """Return the flow of one expert for each mode, weighted by a router."""
    parts = mixture_components(two_modes())
    return DenoiserProcess(RoutedPrior(parts, MixtureRouter(WEIGHTS, parts), top=top), interpolant)


def _draw_experts(axes: Axes) -> None:
    x, t = torch.linspace(-2.5, 2.5, 300, dtype=torch.float64), torch.tensor(0.7).double()
    alone = [
        DenoiserProcess(part, OneSided()).velocity(x[:, None], t)[:, 0]
        for part in mixture_components(two_modes())
    ]
    for number, values in enumerate(alone):
        axes.plot(
            x.numpy(), values.numpy(), ":", color=COLORS[2 + number], label=f"expert {number}"
        )
    one = torch.ones_like(x)
    draw_curves(
        axes,
        x.numpy(),
        _velocity(x, t * one, (1 - t) * one, one, -one).numpy(),
        {
            "all experts": _routed(OneSided(), None).velocity(x[:, None], t)[:, 0].numpy(),
            "likelier one": _routed(OneSided(), 1).velocity(x[:, None], t)[:, 0].numpy(),
        },
        "x at t = 0.7",
        "velocity",
    )


FACTS = (
    Fact(
        "schedule-conversion",
        "A flow learned on one path is known on every other path: times of equal signal to noise "
        "are matched, and values rescaled.",
        r"\bar b(x, s) = \frac{\dot c}{c} x + c\, \dot t(s)\, b(x / c, t(s))",
        ("kim2025rbf",),
        _conversion,
    ),
    Fact(
        "experts-make-one-flow",
        "Flows trained apart on parts of the data are together the flow of all, if each counts as "
        "much as its part is likely at that point.",
        r"u(x, t) = \sum_k p(k \mid x, t)\, u_k(x, t)",
        ("mcallister2025",),
        _experts,
    ),
)
