import math

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianMixturePrior, GaussianPrior
from operators import FiniteDifferences, GaussianNoise, Mask, PoissonNoise, RealToComplex

SHAPE = (2, 2)


@pytest.fixture
def mixture(generator):
    factors = torch.randn(3, 4, 4, generator=generator, dtype=torch.float64)
    return GaussianMixturePrior(
        torch.tensor([1.0, 2.0, 3.0]).double(),
        2 * torch.randn(3, *SHAPE, generator=generator, dtype=torch.float64),
        factors @ factors.mT / 4,
    )


def test_denoiser_obeys_tweedies_formula(mixture, generator):
    sigma = torch.rand(5, generator=generator).double() + 0.1
    x = torch.randn(5, *SHAPE, generator=generator, dtype=torch.float64).requires_grad_()
    (score,) = torch.autograd.grad(mixture.log_prob(x, sigma).sum(), x)
    expected = x + sigma.reshape(5, 1, 1) ** 2 * score
    torch.testing.assert_close(mixture(x.detach(), sigma), expected.detach())


def test_density_is_normalised(generator):
    covariance = torch.tensor([[0.2, 0.1], [0.1, 0.3]]).double()
    prior = GaussianMixturePrior(
        torch.tensor([0.3, 0.7]).double(),
        torch.tensor([[-1.0, 0.5], [1.0, 0.0]]).double(),
        torch.stack([covariance, covariance / 2]),
    )
    axis = torch.linspace(-6, 6, 400, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    total = prior.log_prob(grid).exp().sum() * (axis[1] - axis[0]) ** 2
    assert total.item() == pytest.approx(1, abs=1e-6)


def test_samples_have_the_stated_moments(mixture, generator):
    count = 40000
    x = mixture.sample(count, generator=generator).flatten(1)
    covariance = mixture.covariance()
    standard_error = (torch.diagonal(covariance) / count).sqrt()
    assert ((x.mean(0) - mixture.mean().flatten()).abs() < 4.5 * standard_error).all()
    # the error of a covariance is below sqrt(2 / N) of the variances, fourth moments aside
    scale = torch.diagonal(covariance).max()
    assert ((torch.cov(x.T) - covariance).abs() < 4.5 * math.sqrt(2 / count) * scale).all()


@pytest.mark.parametrize(
    "operator",
    [
        FiniteDifferences(SHAPE),
        Mask(torch.tensor([[True, False], [True, True]])),
        RealToComplex(SHAPE),
    ],
    ids=lambda a: type(a).__name__,
)
def test_posterior_is_prior_times_likelihood(mixture, operator, generator):
    noise = GaussianNoise(0.4)
    clean = operator(mixture.sample(1, generator=generator)[0])
    likelihood = Likelihood(operator, noise, noise.sample(clean, generator=generator))
    posterior = mixture.posterior(likelihood)
    x = torch.randn(50, *SHAPE, generator=generator, dtype=torch.float64)
    evidence = mixture.log_prob(x) + likelihood.log_prob(x) - posterior.log_prob(x)
    # Bayes: the same number wherever it is evaluated
    torch.testing.assert_close(evidence, evidence[:1].expand(50), rtol=1e-8, atol=1e-8)


def test_a_gaussian_is_a_mixture_of_one(generator):
    mean = torch.randn(3, generator=generator, dtype=torch.float64)
    prior = GaussianPrior(mean, 0.25)
    x, sigma = torch.randn(3, generator=generator, dtype=torch.float64), torch.tensor(0.5)
    torch.testing.assert_close(prior(x, sigma), (x + mean) / 2)
    torch.testing.assert_close(prior.covariance(), 0.25 * torch.eye(3).double())
    low, high = prior.data_range
    assert low == pytest.approx(float(mean.min()) - 2)
    assert high == pytest.approx(float(mean.max()) + 2)


def test_the_range_may_be_given():
    prior = GaussianPrior(torch.zeros(3), 0.25, data_range=(-1.0, 2.0))
    assert prior.data_range == (-1.0, 2.0)
    with pytest.raises(ValueError, match="data_range low < high"):
        GaussianPrior(torch.zeros(3), 0.25, data_range=(1.0, 1.0))


def test_a_batch_is_denoised_image_by_image(mixture, generator):
    x = torch.randn(2, 3, *SHAPE, generator=generator, dtype=torch.float64)
    sigma = torch.rand(2, 3, generator=generator).double() + 0.1
    together = mixture(x, sigma)
    torch.testing.assert_close(together[1, 2], mixture(x[1, 2], sigma[1, 2]))
    assert mixture(x.float(), sigma).dtype == torch.float32


def test_refuses_what_is_no_mixture(mixture):
    eye, mean = torch.eye(4).double().unsqueeze(0), torch.zeros(1, 4).double()
    with pytest.raises(ValueError, match="negative eigenvalue"):
        GaussianMixturePrior(torch.ones(1).double(), mean, -eye)
    with pytest.raises(ValueError, match="weights must be positive"):
        GaussianMixturePrior(-torch.ones(1).double(), mean, eye)
    with pytest.raises(ValueError, match=r"covariances \(1, 4, 4\)"):
        GaussianMixturePrior(torch.ones(1).double(), mean, eye[:, :3])


def test_refuses_a_posterior_without_a_closed_form(mixture):
    y = torch.ones(2, 2, dtype=torch.float64)
    operator = Mask(torch.ones(SHAPE, dtype=torch.bool))
    with pytest.raises(ValueError, match="Gaussian noise only"):
        mixture.posterior(Likelihood(operator, PoissonNoise(1.0), y.flatten()))
    wide = Mask(torch.ones(4, dtype=torch.bool))
    flat = Likelihood(wide, GaussianNoise(1.0), y.flatten())
    with pytest.raises(ValueError, match=r"the operator takes \(4,\)"):
        mixture.posterior(flat)
