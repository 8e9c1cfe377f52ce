"""Noisy graphs: their moments and their partial scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.distributions import Distribution

from invdiff.graphs import VE, VP, GraphSystem, Schedule, SubVP
from invdiff.rng import derive_generator
from invdiff.theory.chapter.drawing import COLORS
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.graphs_example import (
    coordinates,
    covariance,
    gaussian_graphs,
    mean,
    noisy_law,
    state,
)
from invdiff.theory.chapter.identity import identity_reading
from invdiff.theory.chapter.laws import ROUNDING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]


def _schedules() -> Reading:
    """Differentiate factor and variance of each schedule along time."""
    kinds: dict[str, Schedule] = {"VP": VP(), "sub-VP": SubVP(), "VE": VE()}
    t = torch.linspace(0.02, 1, 40, dtype=torch.float64, requires_grad=True)
    left = []
    for kind in kinds.values():
        scale, variance, rate = kind.scale(t), kind.std(t) ** 2, kind.drift_rate(t)
        # a constant factor does not depend on time
        total = (scale + 0 * t).sum()
        (scale_dot,) = torch.autograd.grad(total, t, retain_graph=True)
        (variance_dot,) = torch.autograd.grad(variance.sum(), t)
        left.append(scale_dot - rate * scale)
        left.append(variance_dot - 2 * rate * variance - kind.diffusion(t) ** 2)
    return Reading(
        float(torch.cat(left).detach().abs().max()),
        0.0,
        1e-12,
        ROUNDING,
        lambda axes: _draw_schedules(axes, kinds, t.detach()),
    )


def _draw_schedules(axes: Axes, kinds: dict[str, Schedule], t: Tensor) -> None:
    for color, (name, kind) in zip(COLORS, kinds.items(), strict=False):
        axes.plot(t.numpy(), kind.scale(t).numpy(), "--", color=color, linewidth=1)
        axes.plot(t.numpy(), kind.std(t).numpy(), color=color, label=name)
    axes.set(xlabel="t", ylabel="factor (dashed), noise")
    axes.legend(frameon=False, fontsize=7)


def _partial_scores() -> Reading:
    graphs, time = gaussian_graphs(covariance(), GraphSystem(VP(), VE())), 0.4
    law: Distribution = noisy_law(time)
    generator = derive_generator(0, "partial-scores")
    x = torch.randn(20, len(mean()), generator=generator, dtype=torch.float64).requires_grad_()
    (exact,) = torch.autograd.grad(law.log_prob(x).sum(), x)
    measured = coordinates(graphs(state(x.detach()), torch.tensor(time, dtype=torch.float64)))
    return identity_reading(exact, measured, 1e-10, ("gradient of log p(X, A)", "partial scores"))


FACTS = (
    Fact(
        "graph-schedules-keep-their-promise",
        "Factor and variance of a noisy graph, given the clean one, solve the equations of the "
        "moments of the forward SDE.",
        r"\dot a = f a, \qquad \frac{d}{dt} s^2 = 2 f s^2 + g^2",
        ("song2021", "jo2022"),
        _schedules,
    ),
    Fact(
        "partial-scores-of-gaussian-graphs",
        "The score of a graph has one part for features and one for pairs. Each depends on both "
        "sides, here as blocks of one precision matrix.",
        r"\nabla_{(X, A)} \log p_t = -C_t^{-1} (x - m_t)",
        ("jo2022",),
        _partial_scores,
    ),
)
