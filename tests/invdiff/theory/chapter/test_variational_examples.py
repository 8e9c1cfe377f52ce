"""The laws that the facts of the variational view are checked on are what they are said to be."""

from __future__ import annotations

import math

import pytest
import torch

from invdiff.theory.chapter.laws import gaussian, line, signs, tensor, three_modes, two_modes
from invdiff.theory.chapter.quadrature import log_normal, normal_nodes
from invdiff.theory.chapter.variational_diffusion import DIFFUSION, chain_times


def test_nodes_integrate_the_moments_of_a_normal() -> None:
    nodes, weights = normal_nodes(20)
    moments = torch.stack([(weights * nodes**power).sum() for power in range(7)])
    expected = torch.tensor([1.0, 0, 1, 0, 3, 0, 15], dtype=torch.float64)
    torch.testing.assert_close(moments, expected, atol=1e-10, rtol=0)


def test_log_normal_is_that_of_the_prior() -> None:
    x, prior = line(-3, 3, 31), gaussian(0.4, 0.25)
    expected = log_normal(x, tensor(0.4), tensor(0.25)).squeeze(1)
    torch.testing.assert_close(prior.log_prob(x), expected)


@pytest.mark.parametrize(
    ("prior", "mean", "variance"),
    [(gaussian(0.3, 1.5), 0.3, 1.5), (signs(), 0.0, 1.0), (two_modes(), -0.34, 1.1544)],
)
def test_law_has_its_moments(prior, mean, variance) -> None:
    assert float(prior.mean()) == pytest.approx(mean, abs=1e-12)
    assert float(prior.covariance()) == pytest.approx(variance)


def test_three_modes_are_of_two_numbers() -> None:
    torch.testing.assert_close(
        three_modes().mean(), torch.tensor([-0.35, -0.1], dtype=torch.float64)
    )


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
