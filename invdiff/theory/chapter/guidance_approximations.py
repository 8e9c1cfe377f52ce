"""Samplers that reach another law than the posterior, which is known."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior, half_range
from invdiff.rng import derive_generator
from invdiff.samplers import DAPS, RedDiff
from invdiff.theory.chapter.affine import UnitDraws, law_of_sampler
from invdiff.theory.chapter.drawing import draw_bars, draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import likelihood_of, tensor

__all__ = ["FACTS"]


def _square_root() -> Reading:
    # N(0, 1/4) and a datum of the same variance
    prior = GaussianPrior(tensor([0.0]), 0.25)
    likelihood = likelihood_of([[1.0]], [0.4], 0.5)
    variances = [
        _daps_variance(prior, likelihood, num_ode_steps=n, solver=solver)
        for n, solver in ((5, "heun"), (1, "euler"))
    ]
    names = ["p(y | x) p(x)^(1/2)", "DAPS", "DAPS of one ODE step", "posterior"]
    bars = [1 / (4 + 2), *variances, 1 / (4 + 4)]
    return Reading(
        variances[0],
        1 / (4 + 2),
        2e-3,
        "an error in proportion to the step and to the last noise level",
        lambda axes: draw_bars(axes, names, bars, "variance"),
    )


def _daps_variance(prior: GaussianPrior, likelihood: Likelihood, **settings: object) -> float:
    sampler = DAPS(
        150, sigma_max=10.0, sigma_min=0.01, ode_sigma_min=1e-5, inner="exact", clip=False,
        **settings,  # type: ignore[arg-type]
    )  # fmt: skip
    start = (half_range(prior) * 10.0) ** 2 * torch.eye(1, dtype=torch.float64)
    return float(law_of_sampler(sampler, likelihood, prior, tensor([0.0]), start)[1])


def _red_diff() -> Reading:
    levels, variance = np.geomspace(0.07, 1, 20), 0.25
    prior = GaussianPrior(tensor([0.2]), variance)
    likelihood = likelihood_of([[1.0]], [0.9], 0.3)
    half, precision = half_range(prior), 1 / 0.3**2
    found = _fixed_points(levels, prior, likelihood)
    # lambda f(s) / (s b^2) pulls towards D, which is s^2 b^2 / (v + s^2 b^2) of the way to m
    pulls = 0.1 * levels**-3 * levels**2 / (variance + (half * levels) ** 2)
    exact = (precision * 0.9 + pulls * 0.2) / (precision + pulls)
    posterior = (precision * 0.9 + 0.2 / variance) / (precision + 1 / variance)
    curves: dict[str, ArrayLike] = {
        "RED-diff": found,
        "posterior mean": np.full(20, posterior),
    }
    return Reading(
        float(np.abs(found - exact).max()),
        0.0,
        1e-6,
        "iterations that have not quite converged",
        lambda axes: draw_curves(axes, levels, exact, curves, "noise level", "fixed point"),
    )


def _fixed_points(
    levels: NDArray[np.float64], prior: GaussianPrior, likelihood: Likelihood
) -> NDArray[np.float64]:
    """Return where RED-diff comes to rest at each noise level, on average over its noise."""
    sampler, count = RedDiff(regularization=0.1, relaxation=0.9, clip=False), len(levels)
    state = sampler.init(likelihood, prior, count, generator=derive_generator(0, "red-diff"))
    # draws of 0: every step is affine in its noise
    state = state._replace(streams=UnitDraws(count, count))  # type: ignore[arg-type]
    for _ in range(600):
        state, _ = sampler.step(state, torch.from_numpy(levels), likelihood, prior)
    return np.asarray(state.mu.squeeze(-1))


FACTS = (
    Fact(
        "daps-square-root-of-the-prior",
        "DAPS with its ODE samples the data times the square root of the prior, since the end of "
        "the ODE is half as far as the posterior mean: a variance of 1/6 instead of 1/8.",
        r"q(x) \propto p(y \mid x)\, p(x)^{1/2}",
        ("zhang2025",),
        _square_root,
    ),
    Fact(
        "red-diff-fixed-point",
        "RED-diff comes to rest where the data and the pull of its weighting balance: for a "
        "Gaussian prior the posterior mean of another prior variance at every noise level.",
        r"\mu = \frac{y / R + w m}{1 / R + w}, \qquad w = \frac{\lambda f(s)}{s\, b^2} "
        r"\frac{s^2 b^2}{v + s^2 b^2}",
        ("mardani2024",),
        _red_diff,
    ),
)
