import math

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import (
    GaussianMixturePrior,
    GaussianPrior,
    SharedCovarianceMixture,
    SubspacePrior,
)
from invdiff.theory import diffused_posterior, log_evidence
from operators import GaussianNoise, Matrix

N, M, NOISE = 4, 2, 0.3
LEVELS = [0.1, 1.0, 10.0]


def _prior(kind, generator):
    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    weights = torch.tensor([0.3, 0.7]).double()
    factor = normal(2, N, N)
    covariances = factor @ factor.mT
    if kind == "gaussian":
        return GaussianPrior(normal(N), covariances[0])
    if kind == "mixture":
        return GaussianMixturePrior(weights, 2 * normal(2, N), covariances)
    if kind == "shared":
        return SharedCovarianceMixture(weights, 2 * normal(2, N), covariances[0])
    latent = GaussianMixturePrior(weights, 2 * normal(2, 3), covariances[:, :3, :3])
    return SubspacePrior(normal(N), torch.linalg.qr(normal(N, 3)).Q, latent)


@pytest.fixture(params=["gaussian", "mixture", "shared", "subspace"])
def problem(request, generator):
    return _problem(request.param, generator)


def _problem(kind, generator):
    prior = _prior(kind, generator)
    operator = Matrix(torch.randn(M, N, generator=generator, dtype=torch.float64))
    noise = GaussianNoise(NOISE)
    y = noise.sample(operator(prior.sample(1, generator=generator)[0]), generator=generator)
    return prior, Likelihood(operator, noise, y)


@pytest.mark.parametrize("sigma", LEVELS)
def test_scores_are_gradients_of_the_log_densities(problem, sigma, generator):
    prior, likelihood = problem
    exact = diffused_posterior(prior, likelihood)
    t = torch.tensor(sigma).double()
    x = (exact.sample(3, sigma, generator=generator)).requires_grad_()
    (score,) = torch.autograd.grad(exact.log_prob(x, t).sum(), x)
    ratio = exact.log_prob(x, t) - prior.log_prob(x, t)
    (guidance,) = torch.autograd.grad(ratio.sum(), x)
    with torch.no_grad():
        torch.testing.assert_close(exact.score(x, t), score)
        # the difference of two scores of size 1 / t loses what they have in common
        torch.testing.assert_close(exact.guidance_score(x, t), guidance, rtol=1e-7, atol=1e-8)
        levels = t.expand(3)
        torch.testing.assert_close(exact.guidance_score(x, levels), exact.guidance_score(x, t))


@pytest.mark.parametrize("sigma", LEVELS)
def test_guidance_of_a_gaussian_is_that_of_the_denoised_gaussian(sigma, generator):
    """y | x_t ~ N(A m, A S A^T + noise) with x0 | x_t ~ N(m, S)."""
    prior, likelihood = _problem("gaussian", generator)
    exact, t = diffused_posterior(prior, likelihood), torch.tensor(sigma).double()
    x = 3 * torch.randn(5, N, generator=generator, dtype=torch.float64)
    eye = torch.eye(N, dtype=torch.float64)
    matrix = likelihood.operator(eye).mT
    spread = torch.linalg.inv(torch.linalg.inv(prior.covariance()) + eye / sigma**2)
    centre = prior(x, t)
    variance = matrix @ spread @ matrix.mT + NOISE**2 * torch.eye(M, dtype=torch.float64)
    residual = likelihood.y - centre @ matrix.mT
    # d m / d x_t = S / t^2
    expected = torch.linalg.solve(variance, residual.mT).mT @ matrix @ spread / sigma**2
    torch.testing.assert_close(exact.guidance_score(x, t), expected, rtol=1e-7, atol=1e-9)
    # E[x0 | x_t, y]: the Gaussian x0 | x_t, given y too
    gain = spread @ matrix.mT @ torch.linalg.inv(variance)
    torch.testing.assert_close(exact.denoiser(x, t), centre + residual @ gain.mT)


def test_density_of_y_given_x_integrates_to_bayes(problem, generator):
    """p(x | y) p(y) = p(x) p(y | x) at the samples themselves."""
    prior, likelihood = problem
    if isinstance(prior, SubspacePrior):  # no density without noise: compare on the subspace
        prior, likelihood = prior.latent, prior.latent_likelihood(likelihood)
    exact = diffused_posterior(prior, likelihood)
    x = exact.sample(6, 0.0, generator=generator)
    evidence = prior.log_prob(x) + likelihood.log_prob(x) - exact.posterior.log_prob(x)
    expected = torch.full_like(evidence, log_evidence(prior, likelihood))
    torch.testing.assert_close(evidence, expected)


def test_evidence_on_a_subspace_is_the_limit_of_thin_gaussians(generator):
    prior, likelihood = _problem("subspace", generator)
    latent, basis = prior.latent, prior.basis
    means = prior.offset + latent.means @ basis.mT
    thin = basis @ latent.covariances @ basis.mT + 1e-10 * torch.eye(N, dtype=torch.float64)
    dense = GaussianMixturePrior(latent.weights, means, thin)
    found = log_evidence(prior, likelihood)
    # the thickness moves it by its share of the noise variance, 1e-9
    assert found == pytest.approx(log_evidence(dense, likelihood), abs=1e-7)


def test_evidence_is_the_mean_likelihood_over_the_prior(problem, generator):
    prior, likelihood = problem
    count = 200_000
    values = likelihood.log_prob(prior.sample(count, generator=generator)).exp()
    exact = math.exp(log_evidence(prior, likelihood))
    assert abs(float(values.mean()) - exact) < 4.5 * float(values.std()) / count**0.5


def test_diffused_samples_have_the_stated_moments(generator):
    prior, likelihood = _problem("mixture", generator)
    exact, count = diffused_posterior(prior, likelihood), 20000
    x = exact.sample(count, 0.5, generator=generator)
    expected = torch.diagonal(exact.posterior.covariance()) + 0.25
    # 4.5 standard errors of a variance with Gaussian tails
    torch.testing.assert_close(x.var(0), expected, rtol=4.5 * (2 / count) ** 0.5, atol=0)
    error = (x.mean(0) - exact.posterior.mean()).abs()
    assert (error < 4.5 * (expected / count).sqrt()).all()
