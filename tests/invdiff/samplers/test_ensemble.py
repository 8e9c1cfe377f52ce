"""The ensemble against exact posteriors: moments, weights of modes, evidence."""

import contextlib
import math

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.linalg import NumericalWarning
from invdiff.priors import GaussianMixturePrior, GaussianPrior
from invdiff.rng import derive_generator
from invdiff.samplers import Ensemble
from operators import GaussianNoise, Mask, Matrix, TransmissionNoise
from operators.base import Composition

NUM_PARTICLES = 2000
NUM_PROBLEMS = 8


def observed(y, sigma, shape=(1,)):
    """The same measurement for several ensembles in one batch."""
    operator = Mask(torch.ones(shape, dtype=torch.bool))
    y = torch.full((NUM_PROBLEMS, *operator.out_shape), y, dtype=torch.float64)
    return Likelihood(operator, GaussianNoise(sigma), y)


def streams(label):
    return [derive_generator(p, label) for p in range(NUM_PROBLEMS)]


def moments(samples):
    """Mean and variance of each ensemble."""
    return samples.mean()[..., 0], samples.std()[..., 0] ** 2


def assert_unbiased(values, expected, systematic=0.0):
    """Within four standard errors of the ensembles, and a small error of the method itself."""
    error = values.std() / math.sqrt(len(values))
    assert abs(float(values.mean()) - expected) < 4 * float(error) + systematic


@pytest.mark.parametrize("sigma", [1.0, 0.3, 0.1, 0.02])
def test_reaches_a_gaussian_posterior_and_its_evidence(sigma):
    prior = GaussianPrior(torch.zeros(1).double(), 1.0)
    likelihood = observed(1.0, sigma)
    # half the data range is 4: the prior's standard deviation is a quarter of it, T is 20
    sampler = Ensemble(num_steps=100, sigma_max=5.0, sigma_min=1e-3, prior_std=0.25)
    samples = sampler.sample(likelihood, prior, NUM_PARTICLES, generator=streams("gauss"))
    mean, variance = moments(samples)
    # the second order of 100 steps leaves 0.3 % of the standard deviation
    exact = sigma**2 / (1 + sigma**2)
    assert_unbiased(mean, 1 / (1 + sigma**2), 3e-3 * math.sqrt(exact))
    assert_unbiased(variance, exact, 6e-3 * exact)
    evidence = (samples.info["log_evidence"] + math.log(2 * math.pi * (1 + sigma**2)) / 2).exp()
    assert_unbiased(evidence, math.exp(-0.5 / (1 + sigma**2)), 3e-3)


@pytest.mark.parametrize("metropolis", [False, True])
@pytest.mark.parametrize("sigma", [2.0, 0.5])
def test_reaches_the_weights_of_two_modes(sigma, metropolis):
    means = torch.tensor([[-2.0], [2.0]]).double()
    prior = GaussianMixturePrior(
        torch.tensor([0.5, 0.5]).double(), means, 0.25 * torch.ones(2, 1, 1).double()
    )
    likelihood = observed(0.1, sigma)
    posterior = prior.posterior(Likelihood(likelihood.operator, likelihood.noise, likelihood.y[0]))
    sampler = Ensemble(
        num_steps=60, sigma_max=8.0, sigma_min=1e-3, prior_std=0.125, metropolis=metropolis
    )
    samples = sampler.sample(likelihood, prior, NUM_PARTICLES, generator=streams("modes"))
    weights = samples.log_weights.exp()
    right = (weights * (samples.values[..., 0] > 0)).sum(0)
    # Heun's steps where the modes part move this share between them
    assert_unbiased(right, float(posterior.weights[1]), 5e-3)
    assert_unbiased(moments(samples)[1], float(posterior.covariance()), 0.02)
    share = samples.info["accepted"].mean()
    assert 0.5 < share < 1 if metropolis else share == 1


def test_conjugate_gradients_and_the_svd_give_one_distribution(generator):
    """A composition hides the singular values of the same matrix."""
    matrix = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    known = Matrix(matrix)
    hidden = Composition(known, Mask(torch.ones(3, dtype=torch.bool)))
    covariance = torch.eye(3).double() + 0.3
    prior = GaussianPrior(torch.zeros(3).double(), covariance)
    y = torch.tensor([1.0, -0.5]).double().expand(NUM_PROBLEMS, 2)
    exact = prior.posterior(Likelihood(known, GaussianNoise(0.3), y[0]))
    sampler = Ensemble(num_steps=40, sigma_max=5.0, sigma_min=1e-3, prior_std=0.25, num_cg=5)
    for operator in (known, hidden):
        likelihood = Likelihood(operator, GaussianNoise(0.3), y)
        samples = sampler.sample(likelihood, prior, NUM_PARTICLES, generator=streams("cg"))
        for k in range(3):
            std = float(exact.covariance()[k, k].sqrt())
            assert_unbiased(samples.mean()[:, k], float(exact.mean()[k]), 0.01 * std)
            assert_unbiased(samples.std()[:, k], std, 0.01 * std)


def test_weighs_for_counts_and_not_for_their_surrogate():
    """Few counts: the Gaussian about log(N0 / y) has another mean than the exact posterior."""
    prior = GaussianPrior(torch.ones(1).double(), 0.25)
    noise = TransmissionNoise(10.0)
    operator = Mask(torch.ones(1, dtype=torch.bool))
    y = torch.full((NUM_PROBLEMS, 1), 2.0, dtype=torch.float64)
    likelihood = Likelihood(operator, noise, y)
    grid = torch.linspace(-3, 6, 20001, dtype=torch.float64)[:, None]
    single = Likelihood(operator, noise, y[0])
    density = (prior.log_prob(grid) + single.log_prob(grid)).exp()
    exact = float((density * grid[:, 0]).sum() / density.sum())
    total = float(density.sum() * (grid[1] - grid[0]))
    sampler = Ensemble(num_steps=60, sigma_max=5.0, sigma_min=1e-3, prior_std=0.25)
    samples = sampler.sample(likelihood, prior, NUM_PARTICLES, generator=streams("counts"))
    assert_unbiased(samples.mean()[:, 0], exact, 2e-3)
    assert_unbiased(samples.info["log_evidence"].exp(), total, 5e-3 * total)


def test_samples_a_complex_image():
    """Real and imaginary part are two real problems with the same noise."""

    class Broad:
        data_range, image_shape = (-4.0, 4.0), (1,)

        def __call__(self, x, sigma):
            return x / (1 + sigma**2)

    operator = Matrix(torch.ones(1, 1, dtype=torch.complex128))
    y = torch.full((NUM_PROBLEMS, 1), 1 - 0.5j, dtype=torch.complex128)
    likelihood = Likelihood(operator, GaussianNoise(0.5), y)
    sampler = Ensemble(num_steps=60, sigma_max=5.0, sigma_min=1e-3, prior_std=0.25)
    samples = sampler.sample(likelihood, Broad(), NUM_PARTICLES, generator=streams("complex"))
    mean = samples.mean()[:, 0]
    assert_unbiased(mean.real, 0.8, 2e-3)
    assert_unbiased(mean.imag, -0.4, 2e-3)
    # the squared modulus has the variance of both parts
    assert_unbiased(samples.std()[:, 0] ** 2, 2 * 0.2, 4e-3)


@pytest.mark.parametrize("tempering", ["ess", "weights"])
def test_tempering_keeps_the_floor_of_the_effective_sample_size(tempering):
    prior = GaussianPrior(torch.full((64,), 0.5).double(), 0.1)
    likelihood = observed(0.8, 0.02, shape=(64,))
    sampler = Ensemble(
        num_steps=12, num_rejuvenations=3, tempering=tempering, ess_floor=0.3, prior_std=0.25
    )
    late = pytest.warns(NumericalWarning, match="step 11")
    with late if tempering == "ess" else contextlib.nullcontext():
        samples = sampler.sample(likelihood, prior, 32, generator=streams("temper"))
    size = samples.info["effective_sample_size"]
    # "ess" has to take in all data in the last step, and transport alone may cost it a little
    assert (size[:-1].median() if tempering == "ess" else size.min()) > 0.3 - 1e-6
    assert (samples.info["kept"].min() < 1) == (tempering == "weights")
    # flattened weights leave the kernel all data: it takes the samples to 0.8, with their noise
    # of 0.02; the others come late to the data, and one step is too little for them
    assert ((samples.mean() - 0.8).abs().max() < 0.05) == (tempering == "weights")
    assert samples.info["log_evidence"].isnan().all() == (tempering == "weights")


def test_warns_where_the_weights_collapse():
    prior = GaussianPrior(torch.full((64,), 0.5).double(), 0.1)
    likelihood = observed(0.8, 0.01, shape=(64,))
    with pytest.warns(NumericalWarning, match=r"Ensemble: at step \d+ the weights left 1\.\d+ of"):
        Ensemble(num_steps=5).sample(likelihood, prior, 50, generator=streams("collapse"))


def test_many_ensembles_share_nothing_but_the_batch():
    prior = GaussianPrior(torch.zeros(1).double(), 1.0)
    likelihood = observed(1.0, 0.3)
    sampler = Ensemble(num_steps=20)
    together = sampler.sample(likelihood, prior, 100, generator=streams("batch"))
    alone = Likelihood(likelihood.operator, likelihood.noise, likelihood.y[3])
    single = sampler.sample(alone, prior, 100, generator=streams("batch")[3])
    torch.testing.assert_close(together.values[:, 3], single.values)
    torch.testing.assert_close(together.info["log_evidence"][3], single.info["log_evidence"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rejuvenation_step": 0.0}, "rejuvenation_step and num_cg must be positive, got 0.0"),
        ({"num_rejuvenations": -1}, "must not be negative"),
        ({"ess_floor": 0.6}, "ess_floor <= resample_below"),
        ({"tempering": "heat"}, "tempering must be one of"),
        ({"resampling": "none"}, "resampling must be one of"),
        ({"sigma_min": 0.0}, "sigma_min"),
    ],
)
def test_refuses_numbers_out_of_range(values, message):
    with pytest.raises(ValueError, match=message):
        Ensemble(**values)


def test_refuses_metropolis_without_a_density():
    class Plain:
        data_range, image_shape = (0.0, 1.0), None

        def __call__(self, x, sigma):
            return x

    with pytest.raises(ValueError, match="metropolis needs a prior with log_prob, Plain"):
        Ensemble(metropolis=True).sample(
            observed(1.0, 0.3), Plain(), 4, generator=streams("refuse")
        )
