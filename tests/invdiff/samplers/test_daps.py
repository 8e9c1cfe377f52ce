"""DAPS: its inner sample, its chain in closed form, and the posterior it really targets."""

import math

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior, half_range
from invdiff.rng import derive_generator, problem_streams
from invdiff.samplers import DAPS
from invdiff.samplers.daps import sample_gaussian_posterior
from operators import (
    FiniteDifferences,
    GaussianNoise,
    LinearOperator,
    Mask,
    SingleCoilMRI,
    TransmissionNoise,
)
from tests.invdiff.samplers.affine_chains import (
    SIGMA_Y,
    SPREAD,
    compare,
    daps_chain,
    levels,
    posterior,
    setting,
)

COUNT = 1000
HALF = 4 * SPREAD


@pytest.fixture(scope="module")
def problem():
    return setting()


class Hidden(LinearOperator):
    """An operator that doesn't tell its SVD, so that conjugate gradients are used."""

    def __init__(self, operator):
        super().__init__(operator.in_shape, operator.out_shape)
        self.operator = operator
        self.in_complex, self.out_complex = operator.in_complex, operator.out_complex

    def _forward(self, x):
        return self.operator._forward(x)

    def _adjoint(self, y):
        return self.operator._adjoint(y)


@pytest.mark.parametrize(
    "sampler",
    [
        DAPS(6, inner="exact", clip=False),
        DAPS(6, num_langevin=12, clip=False),
        DAPS(6, inner="exact", solver="heun", num_ode_steps=3, sigma_max=2.0, clip=False),
    ],
    ids=["exact", "langevin", "heun"],
)
def test_is_the_chain_of_its_formulas(problem, sampler):
    sigmas, half = levels(sampler, problem.prior), half_range(problem.prior)
    smallest = problem.level[0]
    chains = [
        daps_chain(sampler, sigmas, half, smallest, *c)
        for c in zip(problem.y, problem.level, strict=True)
    ]
    samples = sampler.sample(
        problem.likelihood, problem.prior, COUNT, generator=derive_generator(0)
    )
    compare(samples.values, problem, chains)


def limit(y, level, **settings):
    """A fine grid that ends near 0: at 4 % of the prior's spread."""
    sampler = DAPS(
        20000, sigma_max=10.0, sigma_min=0.01, ode_sigma_min=1e-5, inner="exact", **settings
    )
    prior = GaussianPrior(torch.full((1,), 0.5).double(), SPREAD**2)
    return daps_chain(sampler, levels(sampler, prior), HALF, SIGMA_Y, y, level)


@pytest.mark.parametrize("level", [SIGMA_Y, math.inf], ids=["observed", "unobserved"])
def test_one_ode_step_and_exact_inner_samples_have_the_posterior_as_their_limit(level):
    y = 0.3 if level == SIGMA_Y else 0.0
    chain, exact = limit(y, level, num_ode_steps=1), posterior(y, level)
    assert chain.mean == pytest.approx(exact.mean, abs=1e-3 * exact.var**0.5)
    assert chain.var == pytest.approx(exact.var, rel=3e-3)


@pytest.mark.parametrize("level", [SIGMA_Y, math.inf], ids=["observed", "unobserved"])
def test_the_ode_makes_it_target_the_square_root_of_the_prior(level):
    """p(y | x) p(x)^(1/2): the posterior of a Gaussian prior of twice the variance."""
    y = 0.3 if level == SIGMA_Y else 0.0
    chain = limit(y, level, num_ode_steps=8, solver="heun")
    weight = 2 * SPREAD**2 / (2 * SPREAD**2 + level**2)
    assert chain.mean == pytest.approx(weight * y, rel=3e-3)
    assert chain.var == pytest.approx(2 * SPREAD**2 * (1 - weight), rel=1e-2)
    assert chain.var > 1.05 * posterior(y, level).var


@pytest.mark.parametrize(
    ("settings", "observed", "unobserved"),
    [
        ({}, 1.049, 1.350),
        ({"inner": "exact"}, 1.031, 1.340),
        ({"inner": "exact", "num_ode_steps": 1}, 0.990, 1.058),
    ],
    ids=["langevin", "exact", "one step"],
)
def test_the_spread_at_the_published_grid(problem, settings, observed, unobserved):
    sampler = DAPS(**settings)
    sigmas = levels(sampler, problem.prior)
    for level, expected in [(SIGMA_Y, observed), (math.inf, unobserved)]:
        chain = daps_chain(sampler, sigmas, HALF, SIGMA_Y, 0.0, level)
        ratio = (chain.var / posterior(0.0, level).var) ** 0.5
        assert ratio == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize("power", [1.0, 9.0])
@pytest.mark.parametrize("hidden", [False, True], ids=["svd", "cg"])
def test_the_exact_inner_sample_is_the_gaussian_posterior(problem, power, hidden):
    operator = problem.likelihood.operator
    likelihood = Likelihood(
        Hidden(operator) if hidden else operator, problem.likelihood.noise, problem.likelihood.y
    )
    radius = torch.tensor(0.4, dtype=torch.float64)
    streams = problem_streams(derive_generator(0), 4000, ())
    mean = torch.linspace(0, 1, 8, dtype=torch.float64)
    x = sample_gaussian_posterior(
        likelihood,
        mean.expand(4000, 8),
        radius,
        streams,
        power=torch.tensor(power, dtype=torch.float64),
        num_cg=8,
    )
    sharper = Likelihood(operator, GaussianNoise(SIGMA_Y / power**0.5), likelihood.y)
    exact = GaussianPrior(mean, float(radius) ** 2).posterior(sharper)
    std = torch.diagonal(exact.covariance()).sqrt()
    assert ((x.mean(0) - exact.mean()).abs() < 4.5 * std / 4000**0.5).all()
    error = torch.cov(x.T) - exact.covariance()
    # standard errors of a covariance: sqrt((c_ii c_jj + c_ij^2) / n)
    bound = ((std[:, None] * std) ** 2 + exact.covariance() ** 2).div(4000).sqrt()
    assert (error.abs() < 4.5 * bound).all()


def test_assumed_sigma_replaces_the_noise(problem):
    """The posterior of the assumed noise is sampled, at the same seed, as if y had that noise."""
    assumed = Likelihood(problem.likelihood.operator, GaussianNoise(0.02), problem.likelihood.y)
    for inner in ("exact", "langevin"):
        sampler = DAPS(4, inner=inner, num_langevin=5, assumed_sigma=0.02)
        first = sampler.sample(problem.likelihood, problem.prior, 2, generator=derive_generator(0))
        plain = DAPS(4, inner=inner, num_langevin=5)
        second = plain.sample(assumed, problem.prior, 2, generator=derive_generator(0))
        torch.testing.assert_close(first.values, second.values)


def test_assumed_sigma_needs_noise_of_one_level():
    operator = Mask(torch.ones(2, dtype=torch.bool))
    likelihood = Likelihood(operator, TransmissionNoise(100.0), torch.tensor([50.0, 20.0]))
    prior = GaussianPrior(torch.zeros(2), 1.0)
    with pytest.raises(ValueError, match="replaces noise of one level, got TransmissionNoise"):
        DAPS(4, assumed_sigma=0.1).sample(likelihood, prior, 1, generator=derive_generator(0))


def test_the_result_carries_no_noise_of_the_last_level(generator):
    """Precise data of a well-posed problem without SVD: the sample is their solution."""
    shape = (3, 2)
    operator = FiniteDifferences(shape)
    x = 0.1 * torch.randn(shape, dtype=torch.float64, generator=generator)
    likelihood = Likelihood(operator, GaussianNoise(1e-5), operator(x))
    prior = GaussianPrior(torch.zeros(shape).double(), 0.01)
    values = (
        DAPS(30, inner="exact").sample(likelihood, prior, 4, generator=derive_generator(0)).values
    )
    assert operator(values - x).abs().max() < 1e-3


class ComplexNormal:
    """A complex prior whose parts are N(0, 1)."""

    data_range = (-4.0, 4.0)
    image_shape = (4, 4)

    def __call__(self, x, sigma):
        return x / (1 + sigma**2)


@pytest.mark.parametrize("hidden", [False, True], ids=["svd", "cg"])
def test_the_exact_inner_sample_of_complex_images(hidden, generator):
    """Both parts of a pixel have the noise of GaussianNoise, and so the same posterior."""
    operator = SingleCoilMRI(torch.rand(4, 4, generator=generator) < 0.6)
    y = operator(torch.full((4, 4), 0.3 + 0.2j, dtype=torch.complex128))
    likelihood = Likelihood(Hidden(operator) if hidden else operator, GaussianNoise(0.5), y)
    streams = problem_streams(derive_generator(0), 3000, ())
    x = sample_gaussian_posterior(
        likelihood,
        torch.zeros(3000, 4, 4, dtype=torch.complex128),
        torch.tensor(1.0, dtype=torch.float64),
        streams,
        power=torch.tensor(1.0, dtype=torch.float64),
        num_cg=3,
    )
    k = operator.Vh(x)
    std = 0.2**0.5  # 1 / (1 + 4): the transform is orthonormal
    for part in (k.real, k.imag):
        assert ((part.std(0) / std - 1).abs() < 4.5 / 6000**0.5).all()
    expected = operator.Vh(operator.pinv(y)) * 0.8
    assert ((k.mean(0) - expected).abs() < 4.5 * std * (2 / 3000) ** 0.5).all()


def test_takes_complex_images(generator):
    operator = SingleCoilMRI(torch.rand(4, 4, generator=generator) < 0.6)
    likelihood = Likelihood(operator, GaussianNoise(0.1), operator(torch.full((4, 4), 0.3 + 0.2j)))
    for inner in ("exact", "langevin"):
        sampler = DAPS(5, inner=inner, num_langevin=5)
        values = sampler.sample(likelihood, ComplexNormal(), 2, generator=generator).values
        assert values.dtype == torch.complex64
        assert torch.isfinite(values.abs()).all()


@pytest.mark.parametrize(
    "settings",
    [
        {"sigma_min": 0.01},
        {"step_size": 2.0},
        {"num_ode_steps": 0},
        {"num_langevin": 0},
        {"num_cg": 0},
        {"assumed_sigma": 0.0},
        {"inner": "hmc"},
        {"solver": "rk4"},
    ],
    ids=str,
)
def test_refuses_settings_out_of_range(settings):
    with pytest.raises(ValueError, match="DAPS"):
        DAPS(**settings)
