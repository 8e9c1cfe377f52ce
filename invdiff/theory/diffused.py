"""Posteriors with noise added: what a sampler's every step would be without error."""

from __future__ import annotations

import math
from typing import TypeAlias

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import expand_right
from invdiff.priors import GaussianMixturePrior, SharedCovarianceMixture, SubspacePrior
from invdiff.priors.gaussian import observation
from invdiff.priors.subspace import component_covariances

__all__ = ["DiffusedPosterior", "ExactPrior", "diffused_posterior", "log_evidence"]

ExactPrior: TypeAlias = GaussianMixturePrior | SharedCovarianceMixture | SubspacePrior
"""A prior with a closed-form posterior of its own kind."""


class DiffusedPosterior:
    r"""p_t(x_t | y) of x_t = x_0 + t n, for one problem with Gaussian noise.

    The posterior is a mixture like the prior, so that its own denoiser is
    :math:`E[x_0 | x_t, y]`, and

    .. math:: \nabla \log p_t(y | x_t) = \nabla \log p_t(x_t | y) - \nabla \log p_t(x_t)
        = \frac{E[x_0 | x_t, y] - E[x_0 | x_t]}{t^2}

    is what guided samplers approximate. Noise levels t are 0-dimensional or one per image.

    Args:
        prior: p(x_0).
        likelihood: p(y | x_0).

    Attributes:
        posterior: p(x_0 | y), the limit t -> 0.

    Raises:
        ValueError: Other noise, several problems, or a prior of another shape.
    """

    def __init__(self, prior: ExactPrior, likelihood: Likelihood) -> None:
        self.prior = prior
        self.posterior: ExactPrior = prior.posterior(likelihood)

    def denoiser(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return E[x_0 | x_t, y], in the shape of x ``(*batch, *image_shape)``."""
        return self.posterior(x, sigma)

    def log_prob(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return log p_t(x | y), shape ``batch``."""
        return self.posterior.log_prob(x, sigma)

    def score(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the gradient of log p_t(x | y), in the shape of x."""
        return (self.posterior(x, sigma) - x) / self._squared(sigma)

    def guidance_score(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the gradient of log p_t(y | x), in the shape of x.

        At small t the difference of two denoisers cancels: use double precision.
        """
        return (self.posterior(x, sigma) - self.prior(x, sigma)) / self._squared(sigma)

    def sample(
        self, num_samples: int, sigma: float | Tensor, *, generator: torch.Generator
    ) -> Tensor:
        """Draw x_t given y, shape ``(num_samples, *image_shape)``; sigma is one number."""
        x = self.posterior.sample(num_samples, generator=generator)
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        return x + sigma * noise

    def _squared(self, sigma: Tensor) -> Tensor:
        return expand_right(sigma, len(self.posterior.image_shape)) ** 2


def diffused_posterior(prior: ExactPrior, likelihood: Likelihood) -> DiffusedPosterior:
    """Return p_t(x_t | y) for all t; see ``DiffusedPosterior``."""
    return DiffusedPosterior(prior, likelihood)


def log_evidence(prior: ExactPrior, likelihood: Likelihood) -> float:
    r"""Return log p(y) of one problem with Gaussian noise.

    .. math:: p(y) = \sum_k w_k N(y; A m_k, A C_k A^T + \sigma^2)

    Raises:
        ValueError: Other noise, several problems, or a prior of another shape.
    """
    if isinstance(prior, SubspacePrior):
        return log_evidence(prior.latent, prior.latent_likelihood(likelihood))
    matrix, y, sigma = observation(prior.image_shape, prior.means, likelihood)
    noise = sigma**2 * torch.eye(len(y), dtype=matrix.dtype, device=matrix.device)
    factor = torch.linalg.cholesky(matrix @ component_covariances(prior) @ matrix.mT + noise)
    residual = (y - prior.means.flatten(1) @ matrix.mT).unsqueeze(-1)
    white = torch.linalg.solve_triangular(factor, residual, upper=False)
    log_det = 2 * torch.diagonal(factor, dim1=1, dim2=2).log().sum(-1)
    log_prob = -((white**2).sum((1, 2)) + log_det + len(y) * math.log(2 * math.pi)) / 2
    return float((prior.weights.log() + log_prob).logsumexp(0))
