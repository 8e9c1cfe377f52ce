import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import ComplexPrior, GaussianPrior
from invdiff.rng import derive_generator
from invdiff.samplers import MomentMatching, PiGDM
from invdiff.samplers.guided import Scale
from operators import Composition, GaussianNoise, Mask, Matrix

N, COUNT = 5, 2000
# of 100 steps of order two
STEP_ERROR = 0.01


@pytest.fixture
def prior():
    distance = (torch.arange(N)[:, None] - torch.arange(N)).abs()
    mean = torch.linspace(-1, 1, N, dtype=torch.float64)
    return GaussianPrior(mean, 0.25 * torch.exp(-distance / 2.0).double())


@pytest.fixture(params=["svd", "no svd"])
def likelihood(request, generator):
    operator = Matrix(torch.randn(3, N, generator=generator, dtype=torch.float64))
    if request.param == "no svd":
        operator = Composition(operator, Mask(torch.ones(N, dtype=torch.bool)))
    y = torch.tensor([0.4, -1.0, 0.7], dtype=torch.float64)
    return Likelihood(operator, GaussianNoise(0.3), y)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_samples_the_exact_posterior_of_a_gaussian_prior(eta, prior, likelihood):
    sampler = MomentMatching(eta=eta, sigma_max=20.0, sigma_min=0.002)
    x = sampler.sample(likelihood, prior, COUNT, generator=derive_generator(0)).values
    exact = prior.posterior(likelihood)
    # in the basis of the posterior, where directions without data and with them are apart
    values, vectors = torch.linalg.eigh(exact.covariance())
    z = (x - exact.mean()) @ vectors / values.sqrt()
    assert (z.mean(0).abs() < 4.5 / COUNT**0.5 + STEP_ERROR).all()
    error = torch.cov(z.T) - torch.eye(N)
    assert (error.abs() < 4.5 * (2 / COUNT) ** 0.5 + STEP_ERROR).all()


def test_error_is_of_order_two_in_the_steps(prior, generator):
    """The deterministic steps are linear: the spread of the samples shows their error alone."""
    matrix = torch.randn(N, N, generator=generator, dtype=torch.float64)
    likelihood = Likelihood(Matrix(matrix), GaussianNoise(0.3), torch.zeros(N).double())

    def samples(num_steps):
        sampler = MomentMatching(num_steps, eta=0.0, num_cg=6)
        return sampler.sample(likelihood, prior, 4, generator=derive_generator(0)).values

    best = samples(400)
    coarse, fine = ((samples(num) - best).norm() for num in (25, 50))
    slope = torch.log2(coarse / fine)
    assert slope > 1.7


def test_calibrated_in_many_dimensions():
    """Half of 256 pixels observed: deepinv 0.5 needs 1000 steps for the same two numbers."""
    generator = derive_generator(0, "problem")
    prior = GaussianPrior(torch.full((16, 16), 0.5), 0.04)
    mask = torch.rand(16, 16, generator=generator) < 0.5
    noise, operator = GaussianNoise(0.1), Mask(mask)
    y = noise.sample(operator(prior.sample(1, generator=generator)[0]), generator=generator)
    samples = MomentMatching(50).sample(
        Likelihood(operator, noise, y), prior, 128, generator=derive_generator(0)
    )
    exact = torch.full((16, 16), 0.5)
    exact[mask] += 0.8 * (y - 0.5)
    std = torch.where(mask, (0.04 * 0.01 / 0.05) ** 0.5, 0.2)
    for part in (mask, ~mask):
        assert 0.97 < (samples.std() / std)[part].mean() < 1.03
        # the error of 128 independent samples is 0.088
        assert ((samples.mean() - exact) / std)[part].square().mean().sqrt() < 0.105


def test_complex_images():
    """Real and imaginary part have their own deviations, both exact."""
    prior = ComplexPrior(GaussianPrior(torch.zeros(N, dtype=torch.float64), 0.04), 0.1)
    operator = Mask(torch.ones(N, dtype=torch.bool), complex_valued=True)
    y = torch.full((N,), 0.3 + 0.2j, dtype=torch.complex128)
    likelihood = Likelihood(operator, GaussianNoise(0.1), y)
    sampler = MomentMatching(100, sigma_max=20.0, sigma_min=0.002)
    x = sampler.sample(likelihood, prior, 1000, generator=derive_generator(0)).values
    count = x.numel()
    for part, variance, seen in ((x.real, 0.04, 0.3), (x.imag, 0.01, 0.2)):
        left = variance * 0.01 / (variance + 0.01)
        expected = variance / (variance + 0.01) * seen
        assert abs(part.mean() - expected) < (4.5 / count**0.5 + STEP_ERROR) * left**0.5
        assert abs(part.var() / left - 1) < 4.5 * (2 / count) ** 0.5 + STEP_ERROR


class _Negative:
    """Its Jacobian is that of no denoiser: a covariance would be negative."""

    data_range, image_shape = (-1.0, 1.0), (N,)

    def __call__(self, x, sigma):
        return -0.5 * x


def test_a_negative_covariance_is_replaced_by_that_of_a_wide_prior(likelihood, generator):
    x = torch.randn(3, N, generator=generator, dtype=torch.float64)
    sigma, scale = torch.tensor(2.0).double(), Scale(1.0, likelihood.norm() ** 2)
    ours, other = (
        method.guidance(x, sigma, likelihood, _Negative(), scale)
        for method in (MomentMatching(), PiGDM(num_cg=5))
    )
    torch.testing.assert_close(ours.score, other.score)
    torch.testing.assert_close(ours.log_twist, other.log_twist)
