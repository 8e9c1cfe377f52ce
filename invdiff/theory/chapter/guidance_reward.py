"""Rewards: tilted laws, what directions off the data's support do, and the best of many."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior, SubspacePrior
from invdiff.rng import derive_generator
from invdiff.superres import GuidedDenoiser, SuperResolutionOde, select_by_consistency
from invdiff.superres.guided import Guiding
from invdiff.theory.chapter.drawing import draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import (
    MEANS,
    ROUNDING,
    VARIANCES,
    WEIGHTS,
    likelihood_of,
    tensor,
    two_modes,
)
from operators import GaussianNoise, Matrix

__all__ = ["FACTS"]


def _tilt() -> Reading:
    strengths = np.linspace(0, 6, 25)
    found = [float(_rewarded(strength)) for strength in strengths]
    exact = [_exact_reward(strength) for strength in strengths]
    return Reading(
        float(np.abs(np.subtract(found, exact)).max()),
        0.0,
        1e-5,
        "a datum of variance 1e6 for a reward that is exactly linear",
        lambda axes: draw_curves(
            axes, strengths, exact, {"posterior of a weak datum": found}, "strength", "mean reward"
        ),
    )


def _rewarded(strength: float) -> Tensor:
    """Return the mean of x given a datum that is far away and weak: its log is linear in x."""
    likelihood = likelihood_of([[1.0]], [strength * 1e6], 1e3)
    return two_modes().posterior(likelihood).mean()


def _exact_reward(strength: float) -> float:
    """Return the mean of p(x) exp(strength x), each mode of which is shifted and weighted."""
    weights, means, variances = (part.numpy() for part in (WEIGHTS, MEANS, VARIANCES))
    logs = np.log(weights) + strength * means + strength**2 * variances / 2
    shares = np.exp(logs - logs.max())
    return float((shares * (means + strength * variances)).sum() / shares.sum())


def _off_support() -> Reading:
    angles = np.linspace(0.05, 1.5, 15)
    shares = {method: [_share_off(a, method) for a in angles] for method in _METHODS}
    exact = np.sin(angles)
    errors = [np.abs(shares["proximal"] - exact), np.abs(shares["moment_matching"])]
    curves = {
        "gradient of the reward": shares["proximal"],
        "through the denoiser": shares["moment_matching"],
    }
    return Reading(
        float(np.max(errors)),
        0.0,
        1e-9,
        ROUNDING,
        lambda axes: draw_curves(
            axes, angles, exact, curves, "angle of the reward to the data", "share off the support"
        ),
    )


_METHODS: tuple[Guiding, ...] = ("proximal", "moment_matching")


def _share_off(angle: float, method: Guiding) -> float:
    """Return how much of the pull of a reward leaves the line on which all data lie."""
    latent = GaussianPrior(tensor([0.0]), 0.5)
    prior = SubspacePrior(tensor([0.0, 0.0]), tensor([1.0, 0.0]).unsqueeze(-1), latent)
    reward = Matrix(tensor([math.cos(angle), math.sin(angle)]).unsqueeze(0))
    guided = GuidedDenoiser(prior, reward, GaussianNoise(0.5), method, num_cg=1)
    x, sigma = tensor([0.3, 0.2]), tensor(0.6)
    pull = guided(x, sigma, tensor([2.0])) - prior(x, sigma)
    return float(pull[1] / pull.norm())


class _Prior:
    """A standard normal that is told no data."""

    data_range = (-4.0, 4.0)

    def __call__(self, x: Tensor, sigma: Tensor, y: Tensor) -> Tensor:
        return x / (1 + sigma**2)

    def center(self, y: Tensor) -> Tensor:
        return torch.zeros_like(y)


def _best_of() -> Reading:
    counts, runs = (2, 4, 8, 16), 400
    ranks = [_winning_ranks(count, runs) for count in counts]
    found = [
        float((math.log(n) + (n - 1) * rank.log()).mean())
        for n, rank in zip(counts, ranks, strict=True)
    ]
    exact = [math.log(n) - (n - 1) / n for n in counts]
    return Reading(
        found[-1],
        exact[-1],
        4.5 * (15 / 16) / runs**0.5,
        "4.5 standard errors: the log of the rank is exponential",
        lambda axes: draw_curves(axes, counts, exact, {"best of N": found}, "N", "KL to the prior"),
    )


def _winning_ranks(count: int, runs: int) -> Tensor:
    """Return the quantile of the image of highest reward x among so many, for each run."""
    # the nearest to a datum far on the right is the one furthest right
    y = torch.full((runs, 1), 100.0, dtype=torch.float64)
    likelihood = Likelihood(Matrix(tensor([[1.0]])), GaussianNoise(1.0), y)
    ode = SuperResolutionOde(_Prior(), num_calls=20, sigma_max=20.0)
    chosen = select_by_consistency(
        ode, likelihood, num_candidates=count, generator=derive_generator(0, "best-of-n")
    )
    return torch.special.ndtr(chosen.boundaries).clamp(max=1 - 1e-15)


FACTS = (
    Fact(
        "linear-reward-tilt",
        "A linear reward moves every mode by its covariance and changes their weights, so that a "
        "distant mode takes over: the exact law that reward guidance should reach.",
        r"p(x)\, e^{\beta \theta^T x}: \quad m_k + \beta C_k \theta, \qquad w_k e^{\beta \theta^T "
        r"m_k + \beta^2 \theta^T C_k \theta / 2}",
        ("chen2024overview",),
        _tilt,
    ),
    Fact(
        "reward-off-support",
        "Data on a subspace: the gradient of a reward leaves it by the sine of their angle, and "
        "the same gradient through the Jacobian of the denoiser does not leave it at all.",
        r"\frac{\|(1 - B B^T) a\|}{\|a\|} = \sin \varphi, \qquad (1 - B B^T) J^T a = 0",
        ("chen2024overview",),
        _off_support,
    ),
    Fact(
        "best-of-n-divergence",
        "The best of N samples is from a law whose divergence from the prior grows with the "
        "logarithm of N, whatever the reward: what its reward costs.",
        r"\mathrm{KL} = \ln N - \frac{N - 1}{N}",
        ("chen2024overview",),
        _best_of,
    ),
)
