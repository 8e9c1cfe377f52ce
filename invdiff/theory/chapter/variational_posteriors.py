"""Gaussians fitted to posteriors: RED-diff and the analytic start."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from scipy.optimize import brentq
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior, half_range
from invdiff.rng import derive_generator, problem_streams
from invdiff.samplers import RedDiff
from invdiff.samplers.red_diff import RedDiffState
from invdiff.superres import ExactConditional, Pairs, fit_analytic_start
from invdiff.theory.chapter.drawing import COLORS, GREY, draw_diagonal
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import line, tensor, two_modes
from invdiff.theory.chapter.quadrature import log_normal
from operators import GaussianNoise, Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_LEVEL, _NOISE_STD = 0.1, 1.2


def _gradient_of_red_diff() -> Reading:
    means, y = line(-2.0, 2.0, 9), tensor(0.5).expand(9, 1)
    draws = _drawn_gradients(means, Likelihood(_identity(1), GaussianNoise(_NOISE_STD), y))
    exact, measured = _gradient_of_the_bound(means, y), draws.mean(0)
    errors = draws.std(0) / len(draws) ** 0.5
    slope = (exact * measured).sum() / (exact**2).sum()
    error = (exact**2 * errors**2).sum().sqrt() / (exact**2).sum()
    return Reading(
        float(slope), 1.0, 4.5 * float(error), "4.5 standard errors",
        lambda axes: draw_diagonal(
            axes, exact, measured, "gradient of the bound", "mean step of RED-diff"
        ),
    )  # fmt: skip


def _identity(size: int) -> Matrix:
    return Matrix(torch.eye(size, dtype=torch.float64))


def _drawn_gradients(means: Tensor, likelihood: Likelihood, count: int = 400) -> Tensor:
    """Return what the package steps along, in half data ranges, ``(count, problems, 1)``."""
    prior, sampler = two_modes(), RedDiff(clip=False)
    half, mu = half_range(prior), means.expand(count, *means.shape)
    scaled = (mu / half).clone().requires_grad_()
    streams = problem_streams(derive_generator(0, "gradient-of-red-diff"), count, (len(means),))
    state = RedDiffState(mu, streams, torch.optim.SGD([scaled], lr=1.0))
    state, _ = sampler.step(state, tensor(_LEVEL), likelihood, prior)
    return (mu - state.mu) / half


def _gradient_of_the_bound(means: Tensor, y: Tensor) -> Tensor:
    """Differentiate data term and weighted cross entropy, by quadrature over the noise."""
    prior, settings = two_modes(), RedDiff()
    half, n = half_range(prior), line(-9, 9, 2001)
    mu = means.clone().requires_grad_()
    log_p = prior.log_prob((mu + half * _LEVEL * n.T).unsqueeze(-1), tensor(half * _LEVEL))
    density = log_normal(n.squeeze(1), tensor(0.0), tensor(1.0)).exp()
    entropy = -torch.trapezoid(density * log_p, n.squeeze(1))
    weight = settings.regularization * _LEVEL**-1
    bound = ((y - mu) ** 2 / (2 * _NOISE_STD**2)).sum() + weight * entropy.sum()
    (gradient,) = torch.autograd.grad(bound, mu)
    return half * gradient


def _optimum_of_analytic_start() -> Reading:
    denoiser, y, covariance = _image_posterior()
    root = torch.linalg.cholesky(covariance) * math.sqrt(len(covariance))
    # images whose mean and covariance given y are exactly those of the posterior
    truths = denoiser.posterior_mean(y) + torch.cat([root.T, -root.T])
    start = fit_analytic_start(denoiser, Pairs(y, truths), family="scalar")
    middle = denoiser(denoiser.center(y), tensor(2 * half_range(denoiser)), y)[0]
    offset = denoiser.posterior_mean(y)[0] - middle
    exact = brentq(lambda v: _slope(v, offset, covariance), 0.05, 20.0, xtol=1e-13)
    return Reading(
        float(start.variances), exact, 1e-9, "the solver of the equation",
        lambda axes: _draw_optimum(axes, offset, covariance, float(start.variances)),
    )  # fmt: skip


def _image_posterior() -> tuple[ExactConditional, Tensor, Tensor]:
    """Return a denoiser of four numbers, one measurement eight times, and the covariance."""
    steps = torch.arange(4, dtype=torch.float64)
    prior = GaussianPrior(steps / 2 - 1, (-(steps[:, None] - steps).abs() / 3).exp())
    denoiser = ExactConditional(prior, _identity(4), 1.2)
    y = torch.tensor([0.5, -1.0, 1.5, 0.2], dtype=torch.float64).expand(8, 4)
    precision = torch.linalg.inv(prior.covariances[0]) + torch.eye(4) / 1.2**2
    return denoiser, y, torch.linalg.inv(precision)


def _start_divergence(
    variance: Tensor, offset: Tensor, covariance: Tensor, sigma: float = 1.5
) -> Tensor:
    unit = torch.eye(4, dtype=torch.float64)
    posterior = MultivariateNormal(offset, covariance + sigma**2 * unit)
    start = MultivariateNormal(torch.zeros_like(offset), (variance + sigma**2) * unit)
    return kl_divergence(posterior, start)


def _slope(variance: float, offset: Tensor, covariance: Tensor) -> float:
    v = tensor(variance).requires_grad_()
    (slope,) = torch.autograd.grad(_start_divergence(v, offset, covariance), v)
    return float(slope)


def _draw_optimum(axes: Axes, offset: Tensor, covariance: Tensor, fitted: float) -> None:
    variances = torch.linspace(0.02, 1.5, 60, dtype=torch.float64)
    values = [float(_start_divergence(v, offset, covariance)) for v in variances]
    axes.plot(variances, values, color=GREY, label="divergence from the posterior")
    axes.axvline(fitted, color=COLORS[0], linewidth=1.2, label="fitted")
    axes.set(xlabel="variance of the start, less sigma^2", ylabel="nats")
    axes.legend(frameon=False, fontsize=7)


FACTS = (
    Fact(
        "gradient-of-red-diff",
        "RED-diff moves along a denoising residual. Its mean is the gradient of a variational "
        "bound: the data term plus the divergence of the noisy image from the noisy prior.",
        r"E_n [\mu - D(\mu + \sigma n, \sigma)] = \sigma^2\, \nabla_\mu "
        r"KL\bigl(N(\mu, \sigma^2) \| p_\sigma\bigr)",
        ("mardani2024",),
        _gradient_of_red_diff,
    ),
    Fact(
        "optimum-of-the-analytic-start",
        "Of all round Gaussians the one closest to a noisy posterior has the mean square distance "
        "from its middle, so it can be fitted from residuals, once for all noise levels.",
        r"\arg\min_v KL\bigl(p_\sigma(x \mid y) \| N(m, v + \sigma^2)\bigr) = "
        r"\tfrac1n E \bigl[|x_0 - m|^2 \bigm| y\bigr]",
        ("zhao2024",),
        _optimum_of_analytic_start,
    ),
)
