"""Graphs under a system of SDEs: the schedules, the partial scores and what they restore."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from invdiff.graphs import (
    VE,
    VP,
    EulerMaruyama,
    GaussianGraphs,
    GraphHeun,
    GraphSystem,
    Schedule,
    SubVP,
)
from invdiff.rng import derive_generator
from invdiff.theory.chapter.drawing import COLORS, draw_diagonal, draw_order
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.graph_facts_example import (
    NUM_FEATURES,
    NUM_NODES,
    SIDE,
    coordinates,
    covariance,
    law_of,
    mean,
    state,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_STEPS = (50, 100, 200)
_END = 1e-3


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
        "rounding in double precision",
        lambda axes: _draw_schedules(axes, kinds, t.detach()),
    )


def _draw_schedules(axes: Axes, kinds: dict[str, Schedule], t: Tensor) -> None:
    for color, (name, kind) in zip(COLORS, kinds.items(), strict=False):
        axes.plot(t.numpy(), kind.scale(t).numpy(), "--", color=color, linewidth=1)
        axes.plot(t.numpy(), kind.std(t).numpy(), color=color, label=name)
    axes.set(xlabel="t", ylabel="factor (dashed), noise")
    axes.legend(frameon=False, fontsize=7)


def _partial_scores() -> Reading:
    graphs, time = _graphs(covariance(), GraphSystem(VP(), VE())), 0.4
    generator = derive_generator(0, "partial-scores")
    x = torch.randn(20, len(mean()), generator=generator, dtype=torch.float64).requires_grad_()
    (exact,) = torch.autograd.grad(_noisy_law(time).log_prob(x).sum(), x)
    measured = coordinates(graphs(state(x.detach()), torch.tensor(time, dtype=torch.float64)))
    return Reading(
        float((measured - exact).abs().max()),
        0.0,
        1e-10,
        "rounding in double precision",
        lambda axes: draw_diagonal(
            axes, exact.numpy(), measured.numpy(), "gradient of log p(X, A)", "partial scores"
        ),
    )


def _noisy_law(time: float) -> MultivariateNormal:
    """Return the law at a time with features under VP noise and pairs under VE noise."""
    beta_min, beta_max, sigma_min, sigma_max = 0.1, 1.0, 0.1, 1.0
    kept = np.exp(-(time * beta_min + time**2 * (beta_max - beta_min) / 2) / 2)
    factor, variance = torch.ones_like(mean()), torch.ones_like(mean())
    factor[:SIDE], variance[:SIDE] = kept, 1 - kept**2
    variance[SIDE:] = (sigma_min * (sigma_max / sigma_min) ** time) ** 2
    spread = factor[:, None] * covariance() * factor + torch.diag(variance)
    return MultivariateNormal(factor * mean(), spread)


def _restores() -> Reading:
    graphs = _graphs(covariance(), GraphSystem(VP(), VE()))
    exact = graphs.marginal(torch.tensor(_END, dtype=torch.float64))[1]
    errors = {"Euler-Maruyama": [], "Heun for the ODE": []}
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
    graphs = _graphs(blind, GraphSystem(VP(), VP()))
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


def _graphs(spread: Tensor, system: GraphSystem) -> GaussianGraphs:
    return GaussianGraphs(mean(), spread, NUM_NODES, NUM_FEATURES, system)


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
