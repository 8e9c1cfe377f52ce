"""The laws of affine steps that the chapter computes without sampling."""

from __future__ import annotations

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior
from invdiff.rng import derive_generator
from invdiff.samplers import DDNM, PiGDM
from invdiff.samplers.base import start_image
from invdiff.theory.chapter.affine import UnitDraws, count_draws, law_after, law_of_sampler
from invdiff.theory.chapter.laws import two_modes
from invdiff.theory.chapter.orders import fitted_order
from invdiff.theory.chapter.quadrature import exact_flow
from operators import GaussianNoise, Matrix

MATRIX = torch.tensor([[0.5, -0.2], [0.1, 0.9]], dtype=torch.float64)


def noisy_step(x, draws):
    first, second = (draws.normal((2,), x) for _ in range(2))
    return x @ MATRIX.mT + 1 + 0.5 * first + 2 * second


def test_each_number_is_drawn_as_1_in_a_row_of_its_own():
    draws = UnitDraws(5, 2)
    like = torch.zeros((), dtype=torch.float64)
    drawn = torch.cat([draws.normal((2,), like), draws.normal((1,), like)], 1)
    expected = torch.cat([torch.zeros(2, 3), torch.eye(3)]).double()
    torch.testing.assert_close(drawn, expected)


def test_law_of_an_affine_step_is_its_formula():
    mean, covariance = torch.tensor([1.0, -2.0]).double(), torch.tensor([[2.0, 1], [1, 3]]).double()
    assert count_draws(noisy_step, mean) == 4
    found = law_after(noisy_step, mean, covariance)
    expected = MATRIX @ mean + 1, MATRIX @ covariance @ MATRIX.mT + 4.25 * torch.eye(2).double()
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("sampler", [PiGDM(8, order=1), DDNM(8, eta=0.6, clip=False)], ids=str)
def test_law_of_a_sampler_is_that_of_its_samples(sampler):
    prior = GaussianPrior(torch.tensor([0.2, -0.1]).double(), MATRIX @ MATRIX.mT)
    likelihood = Likelihood(Matrix(MATRIX[:1]), GaussianNoise(0.3), torch.tensor([0.7]).double())
    count, generator = 1500, derive_generator(0, "samples")
    x = sampler.sample(likelihood, prior, count, generator=generator).values
    # the start is a coarse image under noise of the highest level
    sigma = (prior.data_range[1] - prior.data_range[0]) / 2 * sampler.sigma_max
    centre = start_image(likelihood, prior, 1)[0]
    start = sigma**2 * torch.eye(2, dtype=torch.float64)
    mean, covariance = law_of_sampler(sampler, likelihood, prior, centre, start)
    std = covariance.diagonal().sqrt()
    assert ((x.mean(0) - mean).abs() < 4.5 * std / count**0.5).all()
    assert ((x.std(0) / std - 1).abs() < 4.5 / (2 * count) ** 0.5).all()


def test_flow_keeps_the_order_and_is_linear_for_equal_modes():
    one = torch.ones(1, dtype=torch.float64)
    prior = GaussianPrior(0.3 * one, 0.25)
    x = torch.linspace(-3, 3, 7, dtype=torch.float64).unsqueeze(1)
    ratio = ((0.25 + 0.5**2) / (0.25 + 2.0**2)) ** 0.5
    torch.testing.assert_close(exact_flow(prior, x, 2.0, 0.5), 0.3 + ratio * (x - 0.3))
    assert (exact_flow(two_modes(), x, 2.0, 0.5).diff(dim=0) > 0).all()


def test_fitted_order_is_the_power():
    steps = [0.1, 0.2, 0.4]
    assert fitted_order(steps, [7 * h**3 for h in steps]) == pytest.approx(3)
