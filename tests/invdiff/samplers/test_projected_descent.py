"""Descent on the data within the images of a prior: where it ends, in closed form."""

from itertools import pairwise

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior, LinearProjector, SubspacePrior
from invdiff.rng import derive_generator
from invdiff.samplers import ProjectedDescent
from operators import GaussianNoise, Matrix

NOISE = 0.1


@pytest.fixture
def prior(generator):
    basis = torch.linalg.qr(torch.randn(12, 3, generator=generator, dtype=torch.float64))[0]
    offset = torch.rand(12, generator=generator, dtype=torch.float64)
    latent = GaussianPrior(torch.zeros(3).double(), torch.eye(3).double())
    return SubspacePrior(offset, basis, latent)


@pytest.fixture
def likelihood(prior, generator):
    """Five numbers of twelve, of an image that isn't of the prior: no solution is exact."""
    matrix = torch.randn(5, 12, generator=generator, dtype=torch.float64)
    y = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    return Likelihood(Matrix(matrix), GaussianNoise(NOISE), y)


def descended(sampler, likelihood, prior, **options):
    generator = derive_generator(0, "starts")
    return sampler.sample(likelihood, prior, 3, generator=generator, **options).values


def test_ends_at_constrained_least_squares(prior, likelihood):
    matrix = likelihood.operator(torch.eye(12, dtype=torch.float64)).mT
    inside = matrix @ prior.basis
    rest = (likelihood.y - matrix @ prior.offset).mT
    expected = prior.offset + (prior.basis @ torch.linalg.lstsq(inside, rest).solution).mT
    found = descended(ProjectedDescent(num_steps=2000), likelihood, LinearProjector(prior))
    assert (found - expected).abs().max() < 1e-9
    # which is not the least squares without the prior
    assert (torch.linalg.pinv(matrix) @ likelihood.y.mT - expected.mT).abs().max() > 0.1


def test_a_fixed_point_solves_the_data_within_the_subspace(prior, likelihood):
    found = descended(ProjectedDescent(num_steps=2000), likelihood, LinearProjector(prior))
    slope = likelihood.quadratic_score(found) @ prior.basis
    assert slope.abs().max() < 1e-6
    assert (LinearProjector(prior).project(found) - found).abs().max() < 1e-14


def test_a_gaussian_denoiser_ends_at_the_mode_under_a_scaled_prior(likelihood, generator):
    factor = torch.randn(12, 12, generator=generator, dtype=torch.float64)
    covariance = factor @ factor.mT / 12 + 0.1 * torch.eye(12)
    prior = GaussianPrior(torch.zeros(12).double(), covariance)
    sampler = ProjectedDescent(num_steps=3000, sigma=0.05, step_size=1.5)
    found = descended(sampler, likelihood, prior)
    matrix = likelihood.operator(torch.eye(12, dtype=torch.float64)).mT
    level = 0.05 * (prior.data_range[1] - prior.data_range[0]) / 2
    step = 1.5 / (torch.linalg.matrix_norm(matrix, 2) / NOISE) ** 2
    scaled = covariance * step / level**2
    gram = matrix @ scaled @ matrix.mT + NOISE**2 * torch.eye(5)
    expected = (scaled @ matrix.mT @ torch.linalg.solve(gram, likelihood.y.mT)).mT
    # the norm comes from power iteration
    assert (found - expected).abs().max() < 2e-3 * expected.abs().max()


def test_the_misfit_never_grows(prior, likelihood):
    misfits = []
    sampler = ProjectedDescent(num_steps=30)
    descended(
        sampler, likelihood, LinearProjector(prior), callback=lambda p: misfits.append(p.misfit)
    )
    assert all((b <= a + 1e-12).all() for a, b in pairwise(misfits))


def test_descent_refuses_numbers_out_of_range():
    with pytest.raises(ValueError, match=r"sigma > 0, got 0 and 0\.01"):
        ProjectedDescent(num_steps=0)
    with pytest.raises(ValueError, match=r"step_size < 2 and spread >= 0, got 2 and 0\.3"):
        ProjectedDescent(step_size=2)


def test_the_starts_are_spread_in_half_data_ranges(prior, likelihood):
    sampler, projector = ProjectedDescent(spread=0.2), LinearProjector(prior)
    state = sampler.init(likelihood, projector, 400, generator=derive_generator(0, "starts"))
    half = (projector.data_range[1] - projector.data_range[0]) / 2
    spread = (state.x - state.x.mean(0)).square().mean().sqrt()
    # of 9600 numbers, whose standard deviation is known to 0.7 %; half is not near 1
    assert float(spread / half) == pytest.approx(0.2, rel=0.03)
    assert half > 2
    exact = sampler.step_size / likelihood.norm() ** 2
    torch.testing.assert_close(state.step_length.flatten(), exact)
