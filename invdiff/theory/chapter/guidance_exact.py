"""What guidance has to add to the score, and the law that it then reaches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior, half_range
from invdiff.rng import derive_generator
from invdiff.samplers import DPS, MomentMatching, PiGDM
from invdiff.samplers.guided import GuidedSampler
from invdiff.theory import diffused_posterior
from invdiff.theory.chapter.affine import law_of_sampler
from invdiff.theory.chapter.drawing import draw_curves, draw_order
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.guidance_scores import guidance_of
from invdiff.theory.chapter.identity import identity_reading
from invdiff.theory.chapter.laws import likelihood_of, points, tensor, two_modes
from invdiff.theory.chapter.orders import fitted_order
from invdiff.theory.chapter.quadrature import SMOOTH, log_normal
from operators import GaussianNoise, Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_NOISE = 0.4


def _diffused_score() -> Reading:
    prior, likelihood, sigma = two_modes(), likelihood_of([[1.0]], [0.2], _NOISE), tensor(0.8)
    x, x0 = points(-3, 3, 121), points(-6, 6, 2401)
    joint = prior.log_prob(x0.unsqueeze(-1)).exp() * log_normal(x.unsqueeze(-1), x0, 0.8**2).exp()
    pull = (x0 - x.unsqueeze(-1)) / 0.8**2
    data = log_normal(x0, 0.2, _NOISE**2).exp()
    given = torch.trapezoid(joint * data * pull, x0) / torch.trapezoid(joint * data, x0)
    exact = given - torch.trapezoid(joint * pull, x0) / torch.trapezoid(joint, x0)
    found = diffused_posterior(prior, likelihood).guidance_score(x.unsqueeze(-1), sigma)[:, 0]
    naive = (0.2 - x) / _NOISE**2
    naive = torch.where(naive.abs() < 4, naive, torch.nan)
    curves = {"package": found, "data term at x_t itself": naive}
    return Reading(
        float((found - exact).abs().max()), 0.0, 1e-9,
        SMOOTH,
        lambda axes: draw_curves(axes, x, exact, curves, "noisy x_t", "score of p(y | x_t)"),
    )  # fmt: skip


def _moment_matching() -> Reading:
    prior, likelihood = _three_pixels()
    sigma, generator = 0.7, derive_generator(0, "moment-matching-guidance")
    x = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    a, c = likelihood.operator(torch.eye(3).double()).mT, prior.covariance()
    gain = c @ torch.linalg.inv(c + sigma**2 * torch.eye(3).double())
    inner = sigma**2 * a @ gain @ a.mT + 0.04 * torch.eye(2).double()
    exact = (likelihood.y - x @ gain.mT @ a.mT) @ torch.linalg.inv(inner) @ a @ gain
    found = guidance_of(MomentMatching(num_cg=2), prior, likelihood, x, sigma)
    return identity_reading(exact, found, 1e-09, ("exact guidance", "moment matching"))


def _three_pixels() -> tuple[GaussianPrior, Likelihood]:
    """Return a Gaussian prior of three correlated pixels about 0, and two data of noise 0.2."""
    generator = derive_generator(0, "correlated-pixels")
    root, a = (torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (3, 2))
    prior = GaussianPrior(torch.zeros(3).double(), root @ root.mT / 3 + 0.05 * torch.eye(3))
    return prior, Likelihood(Matrix(a), GaussianNoise(0.2), tensor([0.8, -0.5]))


def _laws() -> Reading:
    counts, levels = (25, 45, 75), (10.0, 1e-3)
    samplers: dict[str, Callable[[int], GuidedSampler]] = {
        "moment matching": lambda n: MomentMatching(n, *levels, order=1, num_cg=2, eta=0.0),
        "PiGDM": lambda n: PiGDM(n, *levels, order=1, eta=0.0),
        "annealed DPS": lambda n: DPS(n, *levels, guidance_kind="annealed", eta=0.0),
    }
    prior, likelihood = _three_pixels()
    gaps = {
        name: [_divergence(make(n), prior, likelihood) for n in counts]
        for name, make in samplers.items()
    }
    lines = {name: (gap, 2.0 if name == "moment matching" else 0.0) for name, gap in gaps.items()}
    return Reading(
        fitted_order(1 / np.asarray(counts), gaps["moment matching"]),
        2.0,
        0.2,
        "the next order of the error at these steps",
        lambda axes: _draw_laws(axes, 1 / np.asarray(counts), lines),
    )


def _draw_laws(
    axes: Axes, steps: NDArray[np.float64], lines: dict[str, tuple[list[float], float]]
) -> None:
    draw_order(axes, steps, lines, "1 / steps")
    axes.set(ylabel="KL to the posterior")


def _divergence(sampler: GuidedSampler, prior: GaussianPrior, likelihood: Likelihood) -> float:
    """Return the KL divergence of what the sampler reaches from the exact posterior, in nats."""
    sigma = half_range(prior) * sampler.sigma_max
    start = torch.zeros(3).double(), prior.covariance() + sigma**2 * torch.eye(3)
    mean, covariance = law_of_sampler(sampler, likelihood, prior, *start)
    posterior = prior.posterior(likelihood)
    precision = torch.linalg.inv(posterior.covariance())
    gap, ratio = mean - posterior.mean(), precision @ covariance
    trace = float(torch.trace(ratio) - torch.linalg.slogdet(ratio)[1])
    return (trace + float(gap @ precision @ gap) - 3) / 2


FACTS = (
    Fact(
        "diffused-posterior-score",
        "Guidance must add the score of p(y | x_t), which averages the likelihood over all clean "
        "images that x_t may be; it is the difference of two denoisers, one told y. The likelihood "
        "of the noisy image itself pulls far too hard.",
        r"\nabla \log p_t(y \mid x_t) = \frac{E[x_0 \mid x_t, y] - E[x_0 \mid x_t]}{\sigma^2}",
        ("song2021", "boys2024"),
        _diffused_score,
    ),
    Fact(
        "moment-matching-exact",
        "The Jacobian of the denoiser is the covariance of the clean image: with it, guidance is "
        "exact for every Gaussian prior.",
        r"g = J A^T (\sigma^2 A J A^T + R)^{-1} (y - A D), \qquad J = C (C + \sigma^2)^{-1}",
        ("boys2024",),
        _moment_matching,
    ),
    Fact(
        "guided-laws",
        "So the law that moment matching samples tends to the posterior with the number of "
        "steps. PiGDM and annealed DPS tend to other laws.",
        r"\mathrm{KL}(q_{MM}, p(x \mid y)) = O(h^2), \qquad "
        r"\mathrm{KL}(q_{\Pi}, p(x \mid y)) \to c > 0",
        ("boys2024", "song2023", "chung2023"),
        _laws,
    ),
)
