"""Graphs under a system of SDEs: the schedules, the partial scores and what they restore."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from invdiff.graphs import VE, VP, EulerMaruyama, GraphHeun, GraphSystem
from invdiff.theory.chapter.drawing import draw_order
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.graphs_example import (
    SIDE,
    covariance,
    gaussian_graphs,
    law_of,
    mean,
    noisy_law,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_STEPS = (50, 100, 200)
_END = 1e-3


def _restores() -> Reading:
    graphs = gaussian_graphs(covariance(), GraphSystem(VP(), VE()))
    exact = noisy_law(_END).covariance_matrix
    errors: dict[str, list[float]] = {"Euler-Maruyama": [], "Heun for the ODE": []}
    for n in _STEPS:
        steps = EulerMaruyama(n, end=_END, denoise=False)
        ode = GraphHeun(n, end=_END, denoise=False)
        found = law_of(steps, graphs, len(mean()), n)[1], law_of(ode, graphs, 0, n)[1]
        for name, law in zip(errors, found, strict=True):
            errors[name].append(float((law - exact).abs().max()))
    slope = np.polyfit(np.log(_STEPS), np.log(errors["Euler-Maruyama"]), 1)[0]
    return Reading(
        float(slope),
        -1.0,
        0.1,
        "terms of higher order at 50 to 200 steps",
        lambda axes: draw_order(
            axes,
            _STEPS,
            {
                "Euler-Maruyama": (errors["Euler-Maruyama"], -1.0),
                "Heun for the ODE": (errors["Heun for the ODE"], -2.0),
            },
            "steps",
        ),
    )


def _one_sided_scores() -> Reading:
    """Lose with scores that see one side each what both sides know of each other."""
    blind = covariance()
    blind[:SIDE, SIDE:] = blind[SIDE:, :SIDE] = 0.0
    graphs = gaussian_graphs(blind, GraphSystem(VP(), VP()))
    center, spread = law_of(GraphHeun(100, end=1e-4, denoise=True), graphs, 0, 100)
    found, whole = MultivariateNormal(center, spread), MultivariateNormal(mean(), covariance())
    measured = float(torch.distributions.kl_divergence(whole, found))
    sides = covariance()[:SIDE, :SIDE], covariance()[SIDE:, SIDE:]
    exact = float(sum(side.logdet() for side in sides) - covariance().logdet()) / 2
    return Reading(
        measured,
        exact,
        5e-3,
        "error of second order of 100 Heun steps",
        lambda axes: _draw_covariance(axes, spread),
    )


def _draw_covariance(axes: Axes, spread: Tensor) -> None:
    both = torch.cat([covariance(), torch.full((len(spread), 1), torch.nan), spread], 1)
    limit = float(covariance().abs().max())
    axes.imshow(both.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes.set(xticks=[], yticks=[], xlabel="covariance of (X, A): exact, and without cross terms")


FACTS = (
    Fact(
        "system-restores-the-law",
        "The reverse system of SDEs with exact partial scores gives the joint law of features and "
        "pairs, up to an error that falls with the number of steps.",
        r"\| C_{N} - C \| = O(1 / N)",
        ("jo2022", "song2021"),
        _restores,
    ),
    Fact(
        "sides-apart-lose-their-information",
        "If the score of each side ignores the other one, both sides come out right, but the "
        "result misses what they know of each other: their mutual information.",
        r"\mathrm{KL}\bigl(p(X, A) \,\|\, p(X) p(A)\bigr) = \tfrac12 \log "
        r"\frac{|C_X| |C_A|}{|C|}",
        ("jo2022",),
        _one_sided_scores,
    ),
)
