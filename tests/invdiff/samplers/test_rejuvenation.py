"""The kernel of the ensemble: what it leaves invariant, and the two ways to its square root."""

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianMixturePrior, GaussianPrior
from invdiff.rng import derive_generator, population
from invdiff.samplers.data_covariance import DataCovariance
from invdiff.samplers.rejuvenation import langevin, metropolis
from invdiff.samplers.tempered_target import TemperedTarget, misfit_energy
from invdiff.samplers.tempering import largest_step
from operators import GaussianNoise, Mask, Matrix
from operators.base import Composition

NUM_PARTICLES = 40_000
SIGMA, ALPHA = 0.7, 0.4


def setting(known, generator):
    matrix = Matrix(torch.randn(2, 3, generator=generator, dtype=torch.float64))
    operator = matrix if known else Composition(matrix, Mask(torch.ones(3, dtype=torch.bool)))
    likelihood = Likelihood(operator, GaussianNoise(0.5), torch.tensor([0.6, -1.0]).double())
    prior = GaussianPrior(torch.tensor([0.3, 0.0, -0.2]).double(), 0.5)
    alpha, sigma = torch.tensor(ALPHA).double(), torch.tensor(SIGMA).double()
    covariance = DataCovariance(likelihood, alpha, sigma**2 + 0.5, num_cg=4)
    return TemperedTarget(likelihood, prior, sigma, alpha), covariance


@pytest.mark.parametrize("known", [True, False], ids=["svd", "cg"])
@pytest.mark.parametrize("step", [0.1, 0.5, 5.0])
def test_leaves_a_gaussian_as_it_is(known, step, generator):
    target, covariance = setting(known, generator)
    eye = torch.eye(3, dtype=torch.float64)
    inverse = ALPHA * target.likelihood.weighted_normal(eye) + eye / covariance.variance
    exact = torch.linalg.inv(inverse)
    # where the score vanishes: it is linear
    offset = target.score(torch.zeros(1, 3, dtype=torch.float64))[0]
    mean = exact @ offset
    source = population(derive_generator(1), ())
    factor = torch.linalg.cholesky(exact)
    x = mean + source.normal(NUM_PARTICLES, (3,), eye) @ factor.mT
    for _ in range(3):
        x = langevin(x, target, covariance, step, source)
    scale = exact.diagonal().sqrt()
    # four standard errors of a mean, and of a (co)variance
    assert ((x.mean(0) - mean) / scale).abs().max() < 4 / NUM_PARTICLES**0.5
    error = (x.T.cov() - exact) / (scale * scale[:, None])
    assert error.abs().max() < 4 * (2 / NUM_PARTICLES) ** 0.5


@pytest.mark.parametrize("known", [True, False], ids=["svd", "cg"])
def test_applies_the_covariance_and_its_inverse(known, generator):
    target, covariance = setting(known, generator)
    eye = torch.eye(3, dtype=torch.float64)
    inverse = ALPHA * target.likelihood.weighted_normal(eye) + eye / covariance.variance
    torch.testing.assert_close(covariance.apply(eye) @ inverse, eye)
    x = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    expected = torch.einsum("ni,ij,nj->n", x, inverse, x)
    torch.testing.assert_close(covariance.inverse_norm(x), expected)


def test_the_score_is_the_slope_of_the_log_density(generator):
    target, _ = setting(True, generator)
    x = torch.randn(4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(target.log_density(x).sum(), x)
    torch.testing.assert_close(target.score(x.detach()), slope)


def test_metropolis_corrects_large_moves_between_modes(generator):
    """Plain moves of h = 2 blur two narrow modes; accepted ones leave them as they are."""
    means = torch.tensor([[-1.0], [1.0]]).double()
    narrow = 0.01 * torch.ones(2, 1, 1).double()
    prior = GaussianMixturePrior(torch.ones(2).double() / 2, means, narrow)
    operator = Mask(torch.ones(1, dtype=torch.bool))
    likelihood = Likelihood(operator, GaussianNoise(1.0), torch.tensor([0.4]).double())
    alpha, sigma = torch.tensor(1.0).double(), torch.tensor(0.3).double()
    target = TemperedTarget(likelihood, prior, sigma, alpha)
    covariance = DataCovariance(likelihood, alpha, sigma**2 + 0.1, num_cg=2)
    grid = torch.linspace(-4, 4, 4001, dtype=torch.float64)[:, None]
    density = target.log_density(grid).softmax(0)
    source = population(derive_generator(2), ())
    start = grid[torch.multinomial(density, NUM_PARTICLES, replacement=True, generator=generator)]
    exact = float((density * grid[:, 0] ** 2).sum())
    plain, accepted = start, start
    for _ in range(5):
        plain = langevin(plain, target, covariance, 2.0, source)
        accepted, share = metropolis(accepted, target, covariance, 2.0, source)
    error = float((grid[:, 0] ** 4 * density).sum() - exact**2) ** 0.5 / NUM_PARTICLES**0.5
    assert abs(float((accepted**2).mean()) - exact) < 4 * error
    assert abs(float((plain**2).mean()) - exact) > 20 * error
    assert 0.1 < float(share) < 0.95


def test_the_misfit_is_minus_the_log_likelihood_of_gaussian_noise(generator):
    likelihood = setting(True, generator)[0].likelihood
    x = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    total = likelihood.log_prob(x) + misfit_energy(likelihood, x)
    torch.testing.assert_close(total, total[0, 0].expand_as(total))


def test_steps_as_far_as_the_floor_allows_problem_by_problem():
    """Weights exp(a k) over particles k: the harder problem is stopped earlier."""
    ranks = torch.arange(10, dtype=torch.float64)[:, None] * torch.tensor([0.01, 1.0, 10.0])
    low, high = torch.zeros(3).double(), torch.ones(3).double()
    step = largest_step(lambda a: a * ranks, low, high, 0.5)
    assert step[0] == 1
    assert 0 < step[2] < step[1] < 1
    weights = (step * ranks).softmax(0)
    torch.testing.assert_close(1 / (weights[:, 1:] ** 2).sum(0), torch.full((2,), 5.0).double())
