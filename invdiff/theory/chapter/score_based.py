"""The score-based view: what a denoiser knows about the density."""

from __future__ import annotations

import torch

from invdiff.priors import GaussianMixturePrior
from invdiff.rng import derive_generator
from invdiff.theory.chapter.drawing import draw_diagonal
from invdiff.theory.chapter.fact import Fact, Reading, Section

__all__ = ["SECTION"]

_ROUNDING = "rounding in double precision"


def _tweedie() -> Reading:
    prior, sigma = _three_modes(), torch.tensor(0.6, dtype=torch.float64)
    x = 2 * torch.randn(64, 2, generator=derive_generator(0, "tweedie"), dtype=torch.float64)
    x.requires_grad_()
    (score,) = torch.autograd.grad(prior.log_prob(x, sigma).sum(), x)
    exact = (x + sigma**2 * score).detach()
    measured = prior(x.detach(), sigma)
    return Reading(
        float((measured - exact).abs().max()),
        0.0,
        1e-12,
        _ROUNDING,
        lambda axes: draw_diagonal(
            axes, exact.numpy(), measured.numpy(), "x + sigma^2 score", "denoiser"
        ),
    )


def _three_modes() -> GaussianMixturePrior:
    return GaussianMixturePrior(
        torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
        torch.tensor([[-1.5, 0.0], [1.0, 1.0], [0.5, -2.0]], dtype=torch.float64),
        torch.stack([0.3 * torch.eye(2, dtype=torch.float64)] * 3),
    )


SECTION = Section(
    "score-based",
    "The score-based view",
    "Noise of every level makes a density smooth, and its score is all that a denoiser knows.",
    (
        Fact(
            "tweedie",
            "The posterior mean of the clean image is the noisy one plus sigma^2 times the score.",
            r"E[x_0 \mid x_t = x] = x + \sigma^2 \nabla \log p_\sigma(x)",
            ("efron2011",),
            _tweedie,
        ),
    ),
)
