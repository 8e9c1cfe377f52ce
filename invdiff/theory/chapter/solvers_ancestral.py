"""The noise of an ancestral step."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from invdiff.priors import GaussianPrior
from invdiff.samplers import karras_sigmas
from invdiff.samplers.descent import kept_noise
from invdiff.theory.chapter.drawing import draw_curves, draw_order
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import ROUNDING, tensor
from invdiff.theory.chapter.orders import fitted_order

__all__ = ["FACTS"]


def _ancestral_noise() -> Reading:
    sigma, low = 2.0, np.linspace(0.1, 1.9, 40)
    steps = [kept_noise(tensor(sigma), tensor(s), 1.0) for s in low]
    kept, fresh = (np.asarray([float(v) for v in values]) for values in zip(*steps, strict=True))
    # x' given x0 has precision 1 / s'^2, and x given x' has 1 / (s^2 - s'^2): both add up
    precision = 1 / low**2 + 1 / (sigma**2 - low**2)
    share = 1 / (sigma**2 - low**2) / precision
    error = max(np.abs(fresh - precision**-0.5).max(), np.abs(kept - share).max())
    return Reading(
        float(error),
        0.0,
        1e-12,
        ROUNDING,
        lambda axes: draw_curves(
            axes, low, precision**-0.5, {"noise": fresh, "kept share": kept}, "next sigma",
            "of a step from sigma = 2",
        ),
    )  # fmt: skip


def _ancestral_order() -> Reading:
    counts = (50, 100, 200, 400)
    deficits = [_deficit(count) for count in counts]
    steps = 1 / np.asarray(counts)
    return Reading(
        fitted_order(steps, deficits),
        1.0,
        0.1,
        "the next order of the error at these steps",
        lambda axes: draw_order(axes, steps, {"missing variance": (deficits, 1.0)}, "1 / steps"),
    )


def _deficit(count: int) -> float:
    """Return how far the variance of the ancestral chain falls short of N(0, 0.25)."""
    prior, sigmas = GaussianPrior(tensor([0.0]), 0.25), karras_sigmas(count + 1, 10.0, 0.01)
    variance = 0.25 + 100.0
    for sigma, low in pairwise(sigmas):
        kept, fresh = kept_noise(sigma, low, 1.0)
        gain = float(prior(tensor([1.0]), sigma))
        variance = (gain + float(kept) * (1 - gain)) ** 2 * variance + float(fresh) ** 2
    return 0.25 + 0.01**2 - variance


FACTS = (
    Fact(
        "ancestral-noise",
        "The noise of an ancestral step of DDPM is the spread of the less noisy image given the "
        "noisier one and the clean one, by Bayes' rule.",
        r"\mathrm{Var}(x' \mid x, x_0) = \Bigl(\tfrac{1}{\sigma'^2} + \tfrac{1}{\sigma^2 - "
        r"\sigma'^2}\Bigr)^{-1} = \sigma'^2 (1 - \sigma'^2 / \sigma^2)",
        ("ho2020",),
        _ancestral_noise,
    ),
    Fact(
        "ancestral-variance-order",
        "That noise leaves out how uncertain the clean image is, so the samples are too narrow; "
        "the missing variance falls in proportion to the step.",
        r"\mathrm{Var}(x_0) - \mathrm{Var}(x_N) = O(1 / N)",
        ("ho2020", "bao2022"),
        _ancestral_order,
    ),
)
