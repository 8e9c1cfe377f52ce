import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianMixturePrior, SharedCovarianceMixture
from operators import GaussianNoise, Matrix

SHAPE = (2, 3)


@pytest.fixture(params=["full", "isotropic"])
def pair(request, generator):
    """The same distribution twice: with one covariance, and with a copy for each component."""
    weights = torch.tensor([0.2, 0.5, 0.3]).double()
    means = 5 * torch.randn(3, *SHAPE, generator=generator, dtype=torch.float64)
    factor = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    full = factor @ factor.mT / 6 if request.param == "full" else 0.7 * torch.eye(6).double()
    shared = SharedCovarianceMixture(weights, means, full if request.param == "full" else 0.7)
    return shared, GaussianMixturePrior(weights, means, full.expand(3, 6, 6))


@pytest.mark.parametrize("levels", [(), (4,)])
def test_denoiser_and_density_are_those_of_the_general_mixture(pair, levels, generator):
    shared, general = pair
    x = 4 * torch.randn(4, *SHAPE, generator=generator, dtype=torch.float64)
    sigma = 0.3 + torch.rand(levels, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(shared(x, sigma), general(x, sigma))
    torch.testing.assert_close(shared.log_prob(x, sigma), general.log_prob(x, sigma))
    torch.testing.assert_close(shared.responsibilities(x, sigma).sum(-1), torch.ones(4).double())


def test_posterior_is_that_of_the_general_mixture(pair, generator):
    shared, general = pair
    operator = Matrix(torch.randn(2, 6, generator=generator, dtype=torch.float64), SHAPE)
    noise = GaussianNoise(0.4)
    y = noise.sample(operator(shared.sample(1, generator=generator)[0]), generator=generator)
    likelihood = Likelihood(operator, noise, y)
    one, other = shared.posterior(likelihood), general.posterior(likelihood)
    torch.testing.assert_close(one.weights, other.weights)
    torch.testing.assert_close(one.means, other.means)
    torch.testing.assert_close(one.covariance(), other.covariance())


def test_samples_have_the_stated_moments(pair, generator):
    shared, _ = pair
    count = 40000
    x = shared.sample(count, generator=generator).flatten(1)
    covariance = shared.covariance()
    standard_error = (torch.diagonal(covariance) / count).sqrt()
    assert ((x.mean(0) - shared.mean().flatten()).abs() < 4.5 * standard_error).all()
    scale = torch.diagonal(covariance).max()
    assert ((torch.cov(x.T) - covariance).abs() < 4.5 * (2 / count) ** 0.5 * scale).all()


def test_precision_is_kept_far_from_the_origin(generator):
    """The expanded squares must not cancel where the means are far away."""
    weights = torch.tensor([0.5, 0.5]).double()
    means = torch.tensor([[1e4, 1e4 + 3], [1e4 + 2, 1e4]]).double()
    shared = SharedCovarianceMixture(weights, means, 1.0)
    near = SharedCovarianceMixture(weights, means - 1e4, 1.0)
    x = torch.randn(5, 2, generator=generator, dtype=torch.float64)
    # 1e4 leaves 12 digits of x
    torch.testing.assert_close(shared.log_prob(x + 1e4), near.log_prob(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("covariance", [torch.eye(3), -1.0])
def test_refuses_what_is_no_covariance(covariance):
    with pytest.raises(ValueError, match="covariance"):
        SharedCovarianceMixture(torch.ones(2), torch.zeros(2, 2), covariance)


def test_refuses_weights_that_do_not_fit():
    with pytest.raises(ValueError, match="2 means need as many"):
        SharedCovarianceMixture(torch.ones(3), torch.zeros(2, 2), 1.0)
