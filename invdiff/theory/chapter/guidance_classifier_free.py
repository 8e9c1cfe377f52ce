"""Classifier-free guidance: where its score is that of a density."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from invdiff.priors import GaussianMixturePrior
from invdiff.theory.chapter.drawing import draw_curves, draw_order
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.guidance_labels import (
    GUIDANCE,
    guided_by_label,
    mixture,
    tilted,
    two_gaussians,
)
from invdiff.theory.chapter.identity import identity_reading
from invdiff.theory.chapter.laws import ROUNDING
from invdiff.theory.chapter.orders import fitted_order

__all__ = ["FACTS"]


def _modes() -> tuple[GaussianMixturePrior, GaussianMixturePrior]:
    """Return the law of the label, one of two modes, and that of all images."""
    return mixture([1.0], [1.0], [0.1]), mixture([0.5, 0.5], [-1.0, 1.0], [0.2, 0.1])


def _slope(prior: GaussianMixturePrior, x: Tensor, variance: Tensor) -> tuple[Tensor, ...]:
    """Return log p, and its derivatives in the variance of the noise, in x and twice in x."""
    log_prob = prior.log_prob(x.reshape(-1, 1, 1, 1), variance.sqrt())
    in_variance, first = torch.autograd.grad(log_prob.sum(), (variance, x), create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    return in_variance.detach(), first.detach(), second


def _score() -> Reading:
    labelled, every = _modes()
    x = torch.linspace(-2, 2, 41, dtype=torch.float64, requires_grad=True)
    sigma = torch.tensor(0.5, dtype=torch.float64)
    variance = torch.full_like(x, 0.25).requires_grad_()
    scores = [_slope(prior, x, variance)[1] for prior in (labelled, every)]
    exact = x.detach() + 0.25 * (GUIDANCE * scores[0] - (GUIDANCE - 1) * scores[1])
    found = guided_by_label(labelled, every, GUIDANCE)(
        x.detach().reshape(-1, 1, 1), sigma
    ).flatten()
    return identity_reading(
        exact,
        found,
        1e-05,
        ("x + sigma^2 guided score", "guided D"),
        "rounding in single precision, in which networks are called",
    )


def _fokker_planck() -> Reading:
    x = torch.linspace(-3, 3, 121, dtype=torch.float64, requires_grad=True)
    weights = (1.0, 2.0, GUIDANCE)
    residuals = {f"w = {w:g}": _residual(x, w) for w in weights}
    found, exact = residuals[f"w = {GUIDANCE:g}"], _expected_residual(x.detach(), GUIDANCE)
    return Reading(
        float(found.max() - found.min()),
        float(exact.max() - exact.min()),
        1e-9,
        ROUNDING,
        lambda axes: draw_curves(
            axes, x.detach(), exact, residuals, "x", "Fokker-Planck residual"
        ),
    )  # fmt: skip


def _residual(x: Tensor, weight: float) -> Tensor:
    """Return d/dv log p - (lap log p + |grad log p|^2) / 2 of the guided density, by autograd."""
    variance = torch.full_like(x, 0.2).requires_grad_()
    of_label, of_all = (_slope(prior, x, variance) for prior in _modes())
    in_variance, first, second = (
        weight * a + (1 - weight) * b for a, b in zip(of_label, of_all, strict=True)
    )
    return in_variance - (second + first**2) / 2


def _expected_residual(x: Tensor, weight: float) -> Tensor:
    """Return w (1 - w) / 2 times the squared difference of the scores, from the denoisers."""
    sigma, image = torch.tensor(0.2**0.5, dtype=torch.float64), x.reshape(-1, 1, 1, 1)
    labelled, every = _modes()
    gap = (labelled(image, sigma) - every(image, sigma)).flatten() / 0.2
    return weight * (1 - weight) / 2 * gap**2


def _vanishing() -> Reading:
    prior, (mean, variance) = two_gaussians(), tilted()
    x = torch.linspace(-1, 3, 21, dtype=torch.float64).reshape(-1, 1, 1)
    sigmas = np.asarray([0.03, 0.04, 0.06, 0.08])
    gaps = []
    for sigma in sigmas:
        score = (prior(x, torch.tensor(sigma)) - x) / sigma**2
        gaps.append(float((score + (x - mean) / (variance + sigma**2)).abs().max()))
    return Reading(
        fitted_order(sigmas, gaps),
        2.0,
        0.2,
        "the next order in sigma",
        lambda axes: draw_order(axes, sigmas, {"gap between the scores": (gaps, 2.0)}, "sigma"),
    )


FACTS = (
    Fact(
        "classifier-free-score",
        "Classifier-free guidance continues the step from the score of all images to that of a "
        "label, w times as far.",
        r"D_w = x + \sigma^2 (w\, s_{label} - (w - 1)\, s_{all})",
        ("ho2022guidance",),
        _score,
    ),
    Fact(
        "classifier-free-fokker-planck",
        "For w other than 0 and 1 no density with that score diffuses: the residual of the "
        "Fokker-Planck equation depends on x, so that no normalisation repairs it.",
        r"\partial_v \ell - \tfrac12 (\Delta \ell + |\nabla \ell|^2) = "
        r"\tfrac{w (1 - w)}{2} |s_{label} - s_{all}|^2, \qquad v = \sigma^2",
        ("ho2022guidance",),
        _fokker_planck,
    ),
    Fact(
        "classifier-free-tilt-without-noise",
        "The guided score is that of the tilted density at noise 0 only: their gap grows with "
        "the variance of the noise.",
        r"s_w - \nabla \log (\tilde p * N(0, \sigma^2)) = O(\sigma^2), \qquad "
        r"\tilde p \propto p^{1 - w} p_{label}^w",
        ("ho2022guidance",),
        _vanishing,
    ),
)
