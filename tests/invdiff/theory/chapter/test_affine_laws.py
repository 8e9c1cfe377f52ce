"""The laws of affine steps that the chapter computes without sampling."""

from __future__ import annotations

import pytest
import torch

from invdiff.interpolants import (
    ConstantEpsilon,
    MixtureProcess,
    TwoSided,
    integrate_sde,
    time_grid,
)
from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior
from invdiff.rng import derive_generator
from invdiff.samplers import DDNM, PiGDM
from invdiff.samplers.base import start_image
from invdiff.theory.chapter.affine import (
    UnitDraws,
    affine_law,
    count_draws,
    law_after,
    law_of_sampler,
    sigma_points,
)
from invdiff.theory.chapter.laws import gaussian
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


def test_sigma_points_have_mean_0_and_covariance_1():
    x = sigma_points(3)
    torch.testing.assert_close(x.mean(0), torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(x.mT @ x / len(x), torch.eye(3, dtype=torch.float64))


def test_affine_law_is_that_of_many_chains():
    process = MixtureProcess(TwoSided(), gaussian(1.0, 0.5), gaussian(0.0, 1.0))
    times, generator = time_grid(5, 0.0, 1.0), derive_generator(0, "chains")
    mean, variance = affine_law(process, 0.8, times)
    assert mean.shape == variance.shape == times.shape
    noise = torch.randn(6, 4000, 1, generator=generator, dtype=torch.float64)
    draws = iter(noise[1:])
    x = integrate_sde(
        process, noise[0], times, epsilon=ConstantEpsilon(0.8), noise=lambda: next(draws),
        method="heun",
    )  # fmt: skip
    std = float(variance[-1]) ** 0.5
    assert float(x.mean()) == pytest.approx(float(mean[-1]), abs=4.5 * std / 4000**0.5)
    assert float(x.std()) == pytest.approx(std, rel=4.5 / 8000**0.5)
