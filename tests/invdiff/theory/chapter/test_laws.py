"""The laws that facts are checked on are what they are said to be."""

from __future__ import annotations

import math

import pytest
import torch

from invdiff.theory.chapter.laws import (
    MEANS,
    VARIANCES,
    WEIGHTS,
    correlated,
    gaussian,
    likelihood_of,
    line,
    normals,
    points,
    signs,
    three_modes,
    two_modes,
)
from invdiff.theory.chapter.variational_diffusion import DIFFUSION, chain_times
from operators import GaussianNoise


@pytest.mark.parametrize(
    ("prior", "mean", "variance"),
    [(gaussian(0.3, 1.5), 0.3, 1.5), (signs(), 0.0, 1.0), (two_modes(), 0.25, 1.4995)],
)
def test_law_on_the_line_has_its_moments(prior, mean, variance) -> None:
    assert float(prior.mean()) == pytest.approx(mean, abs=1e-12)
    assert float(prior.covariance()) == pytest.approx(variance)


def test_constants_are_those_of_the_two_modes() -> None:
    mean = float((WEIGHTS * MEANS).sum())
    assert float(two_modes().mean()) == pytest.approx(mean)
    square = float((WEIGHTS * (MEANS**2 + VARIANCES)).sum())
    assert float(two_modes().covariance()) == pytest.approx(square - mean**2)


@pytest.mark.parametrize(
    ("prior", "mean"), [(correlated(), [1.0, -0.5]), (three_modes(), [-0.35, -0.1])]
)
def test_law_of_two_numbers_has_its_mean(prior, mean) -> None:
    torch.testing.assert_close(prior.mean(), torch.tensor(mean, dtype=torch.float64))


def test_points_and_draws_are_in_double_precision() -> None:
    assert points(0, 1, 3).tolist() == [0, 0.5, 1]
    assert line(0, 1, 3).shape == (3, 1)
    draws = normals("a-key", 2, 3)
    assert draws.dtype == torch.float64
    torch.testing.assert_close(draws, normals("a-key", 2, 3))
    assert not torch.equal(draws, normals("another-key", 2, 3))


def test_measurement_has_its_noise() -> None:
    likelihood = likelihood_of([[1.0, 2.0]], [0.5], 0.3)
    x = torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    assert float(likelihood.operator(x)) == pytest.approx(3)
    assert likelihood.noise == GaussianNoise(0.3)


@pytest.mark.parametrize("num_steps", [5, 40])
def test_chain_goes_from_noise_to_signal(num_steps) -> None:
    times = chain_times(num_steps)
    assert times.shape == (num_steps,)
    assert (times.diff() > 0).all()
    levels = DIFFUSION.at(times)
    torch.testing.assert_close(levels.beta**2 + levels.gamma**2, torch.ones_like(times))
    # what is left of the image after all betas from 1e-4 to 0.02, and one step's share less
    assert float(levels.beta[0]) < math.exp(-4)
    assert float(levels.beta[-1]) > 1 - 1.1 / num_steps
