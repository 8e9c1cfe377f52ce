"""What guided samplers assume of the clean image given the noisy one, where it is Gaussian."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior, half_range
from invdiff.rng import derive_generator
from invdiff.samplers import DPS, MomentMatching, PiGDM
from invdiff.samplers.guided import GuidedSampler, Scale
from invdiff.theory import diffused_posterior
from invdiff.theory.chapter.drawing import GREY, draw_curves, draw_diagonal, draw_order
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.solvers_affine import law_of_sampler
from invdiff.theory.chapter.solvers_orders import fitted_order, two_modes
from operators import GaussianNoise, Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_ROUNDING = "rounding in double precision"
# of the prior and of the noise of the data, on the line
_V, _R = 0.25, 0.01


def _f64(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _score(
    sampler: GuidedSampler, prior: GaussianPrior, likelihood: Likelihood, x: Tensor, sigma: float
) -> Tensor:
    scale = Scale(half_range(prior), likelihood.norm() ** 2)
    return sampler.guidance(x, _f64(sigma).squeeze(), likelihood, prior, scale).score


def _line() -> tuple[GaussianPrior, Likelihood, Tensor]:
    """Return N(0, 1/4), one datum at 0.4 of noise 0.1, and a noisy image."""
    datum = Likelihood(Matrix(_f64(1.0).unsqueeze(0)), GaussianNoise(_R**0.5), _f64(0.4))
    return GaussianPrior(_f64(0.0), _V), datum, _f64(-0.3).unsqueeze(0)


def _left(sigma: float) -> float:
    """Return the variance of x0 given x."""
    return _V * sigma**2 / (_V + sigma**2)


def _exact(sigma: float) -> float:
    """Return the exact guidance at the noisy image of the line."""
    gain = _V / (_V + sigma**2)
    return gain * (0.4 + 0.3 * gain) / (_left(sigma) + _R)


def _quadrature() -> Reading:
    prior, sigma, step = two_modes(), 0.8, 1e-4
    likelihood = Likelihood(Matrix(_f64(1.0).unsqueeze(0)), GaussianNoise(0.5), _f64(0.4))
    x = torch.linspace(-3, 3, 61, dtype=torch.float64)
    high, low = (_log_likelihood(x + e, sigma) for e in (step, -step))
    exact = (high - low) / (2 * step)
    found = diffused_posterior(prior, likelihood).guidance_score(
        x.unsqueeze(-1), _f64(sigma).squeeze()
    )
    found = found.squeeze(-1)
    return Reading(
        float((found - exact).abs().max()),
        0.0,
        1e-6,
        "finite differences of a step of 1e-4",
        lambda axes: draw_curves(
            axes, x, exact, {"difference of denoisers": found}, "noisy image", "guidance"
        ),
    )


def _log_likelihood(x: Tensor, sigma: float) -> Tensor:
    """Return log p(y | x_t) of the datum 0.4 of noise 0.5, by a sum over clean images."""
    prior, grid = two_modes(), torch.linspace(-6, 6, 4001, dtype=torch.float64)
    joint = prior.log_prob(grid.unsqueeze(-1)) - (x.unsqueeze(-1) - grid) ** 2 / (2 * sigma**2)
    log_data = -((0.4 - grid) ** 2) / (2 * 0.5**2)
    return (joint + log_data).logsumexp(-1) - joint.logsumexp(-1)


def _strength(name: str, assumed: Callable[[float], float]) -> Reading:
    """Compare the guidance at sigma = 1/2 over the exact one with the assumed spread of y."""
    sigmas = np.geomspace(0.02, 5, 40)
    exact = [(_left(s) + _R) / assumed(s) for s in sigmas]
    found = {name: [_guidance(name, s) / _exact(s) for s in sigmas]}
    return Reading(
        _guidance(name, 0.5) / _exact(0.5),
        (_left(0.5) + _R) / assumed(0.5),
        1e-9,
        _ROUNDING,
        lambda axes: _draw_strength(axes, sigmas, exact, found),
    )


def _draw_strength(
    axes: Axes, sigmas: NDArray[np.float64], exact: list[float], found: dict[str, list[float]]
) -> None:
    draw_curves(axes, sigmas, exact, found, "sigma", "guidance over the exact one")
    axes.axhline(1, color=GREY, linestyle="--", linewidth=1)
    axes.set(xscale="log", yscale="log")


def _guidance(name: str, sigma: float) -> float:
    prior, likelihood, x = _line()
    samplers: dict[str, GuidedSampler] = {
        "likelihood at D": DPS(),
        "annealed DPS": DPS(guidance_kind="annealed"),
        "PiGDM of 4 v": PiGDM(prior_std=1 / half_range(prior)),
    }
    score = float(_score(samplers[name], prior, likelihood, x, sigma))
    if name != "likelihood at D":
        return score
    # DPS divides by the norms of the residual and of the operator, both in units of the noise
    return score * (0.4 + 0.3 * _V / (_V + sigma**2)) / _R


def _dps() -> Reading:
    return _strength("likelihood at D", lambda sigma: _R)


def _annealed_dps() -> Reading:
    return _strength("annealed DPS", lambda sigma: sigma**2 + _R)


def _pigdm() -> Reading:
    return _strength("PiGDM of 4 v", lambda sigma: sigma**2 / (sigma**2 + 1) + _R)


def _moment_matching() -> Reading:
    prior, likelihood = _correlated()
    sigma, generator = 0.7, derive_generator(0, "moment-matching-guidance")
    x = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    a, c = likelihood.operator(torch.eye(3).double()).mT, prior.covariance()
    gain = c @ torch.linalg.inv(c + sigma**2 * torch.eye(3).double())
    inner = sigma**2 * a @ gain @ a.mT + 0.04 * torch.eye(2).double()
    exact = (likelihood.y - x @ gain.mT @ a.mT) @ torch.linalg.inv(inner) @ a @ gain
    found = _score(MomentMatching(num_cg=2), prior, likelihood, x, sigma)
    return Reading(
        float((found - exact).abs().max()),
        0.0,
        1e-9,
        _ROUNDING,
        lambda axes: draw_diagonal(axes, exact, found, "exact guidance", "moment matching"),
    )


def _correlated() -> tuple[GaussianPrior, Likelihood]:
    """Return a Gaussian prior of three correlated pixels about 0, and two data of noise 0.2."""
    generator = derive_generator(0, "correlated-pixels")
    root, a = (torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (3, 2))
    prior = GaussianPrior(torch.zeros(3).double(), root @ root.mT / 3 + 0.05 * torch.eye(3))
    return prior, Likelihood(Matrix(a), GaussianNoise(0.2), _f64(0.8, -0.5))


def _laws() -> Reading:
    counts, levels = (25, 45, 75), (10.0, 1e-3)
    samplers: dict[str, Callable[[int], GuidedSampler]] = {
        "moment matching": lambda n: MomentMatching(n, *levels, order=1, num_cg=2, eta=0.0),
        "PiGDM": lambda n: PiGDM(n, *levels, order=1, eta=0.0),
        "annealed DPS": lambda n: DPS(n, *levels, guidance_kind="annealed", eta=0.0),
    }
    prior, likelihood = _correlated()
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
        "guidance-is-a-difference-of-denoisers",
        "What the data add to the score is the step from the denoised image without them to the "
        "one with them, over the variance of the noise.",
        r"\nabla \log p(y \mid x_t) = \frac{E[x_0 \mid x_t, y] - E[x_0 \mid x_t]}{\sigma^2}",
        ("efron2011", "song2021"),
        _quadrature,
    ),
    Fact(
        "dps-drops-covariance",
        "The likelihood of the denoised image, which DPS follows, forgets that the clean image "
        "is still uncertain. On the line at sigma = 0.5 it pulls 13.5 times too hard, which DPS "
        "hides by dividing by the norm of the residual.",
        r"\frac{g_{DPS}}{g} = \frac{\hat S + R}{R}, \qquad "
        r"\hat S = \frac{v \sigma^2}{v + \sigma^2}",
        ("chung2023",),
        _dps,
    ),
    Fact(
        "annealed-dps-too-weak",
        "With the variance of the noise for that of the clean image, guidance is too weak where "
        "the prior is narrower than the noise.",
        r"\frac{g}{g_{exact}} = \frac{\hat S + R}{\sigma^2 + R}",
        ("chung2023",),
        _annealed_dps,
    ),
    Fact(
        "pigdm-assumed-variance",
        "Pseudo-inverse guidance is exact if it knows the variance of the prior; one that is "
        "four times too large weakens it by a known factor.",
        r"\frac{g_{\Pi}}{g} = \frac{\hat S + R}{r^2 + R}, \qquad "
        r"r^2 = \frac{\sigma^2}{\sigma^2 + 1}",
        ("song2023",),
        _pigdm,
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
