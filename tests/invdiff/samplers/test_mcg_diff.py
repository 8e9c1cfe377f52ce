import math

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianMixturePrior, GaussianPrior
from invdiff.rng import derive_generator
from invdiff.samplers import MCGDiff
from operators import FiniteDifferences, GaussianNoise, Mask
from operators.matrix import Matrix


class Shrinkage:
    """The denoiser of N(0, variance), in a data range whose half is 1, for any shape."""

    data_range = (-1.0, 1.0)
    image_shape = None

    def __init__(self, variance=1.0):
        self.variance = variance

    def __call__(self, x, sigma):
        return self.variance / (self.variance + sigma**2) * x


def gaussian_problem(matrix, sigma_y, y):
    return Likelihood(Matrix(matrix), GaussianNoise(sigma_y), y)


def chain_variance(sigmas, eta, variance):
    """Return the variance in which DDIM ends for N(0, variance), started at sigmas[0]^2."""
    v = sigmas[0] ** 2
    for s, t in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True):
        noise = (eta * t / s) ** 2 * (s**2 - t**2)
        shrink = variance / (variance + s**2)
        v = (shrink + math.sqrt(t**2 - noise) / s * (1 - shrink)) ** 2 * v + noise
    return v


def test_a_step_equals_the_published_formulas_of_the_variance_preserving_diffusion():
    matrix = torch.tensor([[1.0, 0.4, 0.0], [-0.3, 2.0, 0.5]]).double()
    y, sigma_y, eta, kappa = torch.tensor([0.7, -1.2]).double(), 0.3, 0.6, 1e-3
    likelihood, prior = gaussian_problem(matrix, sigma_y, y), Shrinkage()
    sampler = MCGDiff(20, num_particles=1, eta=eta, kappa=kappa)
    sigmas = sampler.sigmas(likelihood, prior)
    state = sampler.init(likelihood, prior, 1, generator=derive_generator(0))
    again = sampler.init(likelihood, prior, 1, generator=derive_generator(0))
    after, _ = sampler.step(state, sigmas[3], sigmas[4], likelihood, prior)
    again.source.uniform(1, "cpu")  # the ancestor of the only particle
    n = again.source.normal(1, (3,), y)[0, 0]
    # everything below in the published scaling sqrt(abar) x0 + sqrt(1 - abar) n
    left, s, right = torch.linalg.svd(matrix, full_matrices=True)
    tau = sigmas[
        (sigma_y**2 - sigmas[:, None] ** 2 * s**2).abs().div(1 + sigmas[:, None] ** 2).argmin(0)
    ]
    abar, abar_next, abar_tau = (1 / (1 + v**2) for v in (sigmas[3], sigmas[4], tau))
    x = abar.sqrt() * (right @ state.x[0, 0])
    b = eta * ((1 - abar_next) / (1 - abar) * (1 - abar / abar_next)).sqrt()
    epsilon = (x - abar.sqrt() * Shrinkage()(x / abar.sqrt(), sigmas[3])) / (1 - abar).sqrt()
    drift = (1 - abar_next - b**2).sqrt() - ((abar_next / abar) * (1 - abar)).sqrt()
    m = (abar_next / abar).sqrt() * x + drift * epsilon
    rescaled = abar_tau.sqrt() * (left.mT @ y) / s
    centre = (abar / abar_tau).sqrt() * rescaled
    centre_next = (abar_next / abar_tau).sqrt() * rescaled
    v = 1 - (1 - kappa) * abar / abar_tau
    v_next = 1 - (1 - kappa) * abar_next / abar_tau
    gain = b**2 / (b**2 + v_next)
    expected = m + b * (right @ n)
    expected[:2] = (
        gain * centre_next + (1 - gain) * m[:2] + (v_next * gain).sqrt() * (right @ n)[:2]
    )
    torch.testing.assert_close(after.x[0, 0], right.mT @ expected / abar_next.sqrt())
    normal = torch.distributions.Normal
    weight = normal(m[:2], (b**2 + v_next).sqrt()).log_prob(centre_next)
    weight = weight - normal(centre, v.sqrt()).log_prob(x[:2])
    # densities of x0 + sigma n are wider by 1 / sqrt(abar) in each of the two directions
    expected_weight = weight.sum() + abar_next.log() - abar.log()
    torch.testing.assert_close(after.log_evidence[0] - state.log_evidence[0], expected_weight)


@pytest.mark.parametrize("matrix", [[[1.0, 0.5]], [[1.0, 0.5], [0.0, 0.4]]])
def test_evidence_is_unbiased(matrix):
    matrix, sigma_y = torch.tensor(matrix).double(), 0.5
    y = torch.tensor([0.9, -0.4]).double()[: len(matrix)]
    likelihood, prior = gaussian_problem(matrix, sigma_y, y), Shrinkage()
    # a loose guide: with a tight one the variance of the weights is infinite
    sampler = MCGDiff(12, num_particles=32, kappa=0.6)
    samples = sampler.sample(likelihood, prior, 1500, generator=derive_generator(0))
    found = samples.info["log_evidence"].exp()
    v = chain_variance(sampler.sigmas(likelihood, prior), 1.0, 1.0)
    covariance = v * matrix @ matrix.mT + sigma_y**2 * torch.eye(len(y)).double()
    law = torch.distributions.MultivariateNormal(torch.zeros_like(y), covariance)
    error, expected = found.std() / len(found) ** 0.5, law.log_prob(y).exp()
    assert error < 0.05 * expected
    assert (found.mean() - expected).abs() < 3 * error


def test_many_particles_reach_the_posterior_of_a_mixture():
    weights, means = torch.tensor([0.3, 0.7]).double(), torch.tensor([[-2.0], [1.5]]).double()
    prior = GaussianMixturePrior(weights, means, 0.25 * torch.ones(2, 1, 1).double())
    likelihood = gaussian_problem(torch.ones(1, 1).double(), 1.0, torch.zeros(1).double())
    sampler = MCGDiff(100, sigma_max=5.0, kappa=0.1, single_run=True, resampling="systematic")
    samples = sampler.sample(likelihood, prior, 8000, generator=derive_generator(0))
    exact = prior.posterior(likelihood)
    assert samples.log_weights.logsumexp(0).abs() < 1e-9
    # 0.05: two percent of the distance of the modes, for the discretisation and the particles
    torch.testing.assert_close(samples.mean(), exact.mean(), rtol=0, atol=0.05)
    torch.testing.assert_close(
        samples.std(), exact.covariance().diagonal().sqrt(), rtol=0.05, atol=0
    )


def spread(sampler):
    """Return the sampled over the exact standard deviation, of what is observed and what not."""
    mask = torch.tensor([True] * 32 + [False] * 32)
    likelihood = Likelihood(Mask(mask), GaussianNoise(0.5), torch.zeros(32).double())
    values = sampler.sample(likelihood, Shrinkage(), 100, generator=derive_generator(0)).values
    return values[:, mask].std() / 0.2**0.5, values[:, ~mask].std()


def test_without_weights_and_with_fresh_noise_the_guided_start_gives_the_posterior():
    sampler = MCGDiff(300, num_particles=1, sigma_max=40.0, sigma_min=0.04, reweight=False)
    observed, free = spread(sampler)
    # 100 x 32 values: a standard error of 0.013; the discretisation takes 0.02
    assert 0.95 < observed < 1.03
    assert 0.95 < free < 1.03


def test_less_fresh_noise_is_too_narrow_where_the_data_are():
    observed, free = spread(
        MCGDiff(300, num_particles=1, sigma_max=40.0, sigma_min=0.04, reweight=False, eta=0.6)
    )
    assert observed < 0.85
    assert 0.95 < free < 1.03


@pytest.mark.parametrize("complex_valued", [False, True])
def test_noise_free_data_are_kept_and_the_rest_follows_the_prior(complex_valued):
    mask = torch.tensor([True] * 8 + [False] * 24)
    y = torch.linspace(-1, 1, 8).double()
    y = torch.complex(y, -y) if complex_valued else y
    likelihood = Likelihood(Mask(mask, complex_valued=complex_valued), GaussianNoise(1e-6), y)
    sampler = MCGDiff(100, num_particles=4, sigma_min=1e-3, kappa=1e-8)
    values = sampler.sample(likelihood, Shrinkage(), 100, generator=derive_generator(0)).values
    # the last level and sqrt(kappa), a few times
    assert (values[:, mask] - y).abs().max() < 0.01
    free = torch.view_as_real(values[:, ~mask]) if complex_valued else values[:, ~mask]
    # 100 steps of DDIM lose 0.05
    assert abs(free.std() - 1) < 0.1


def test_refuses_an_operator_without_singular_vectors():
    operator = FiniteDifferences((4, 3))
    likelihood = Likelihood(operator, GaussianNoise(0.1), torch.zeros(operator.out_shape))
    prior = GaussianPrior(torch.zeros(4, 3), 1.0)
    with pytest.raises(ValueError, match=r"MCGDiff.*FiniteDifferences"):
        MCGDiff().sample(likelihood, prior, 1, generator=derive_generator(0))


@pytest.mark.parametrize(
    "settings",
    [{"eta": 1.1}, {"kappa": 0.0}, {"num_particles": 0}, {"num_steps": 1}, {"grid": "linear"}],
)
def test_refuses_numbers_out_of_range(settings):
    with pytest.raises(ValueError, match=r"MCGDiff|sigmas|grid"):
        MCGDiff(**settings)
