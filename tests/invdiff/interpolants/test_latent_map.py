from __future__ import annotations

import pytest
import torch

from invdiff.interpolants.latent_map import LatentMap
from invdiff.interpolants.one_step import OneStepPrior
from invdiff.interpolants.rectified_flow import ReflowedGaussian
from invdiff.likelihood import Likelihood
from operators import GaussianNoise
from operators.matrix import Matrix

MEAN = torch.tensor([1.0, -0.5, 0.3], dtype=torch.float64)
COVARIANCE = torch.tensor([[1.5, 0.7, 0.0], [0.7, 0.8, 0.2], [0.0, 0.2, 0.5]], dtype=torch.float64)
MATRIX = torch.tensor([[1.0, 0.5, 0.0], [0.0, -1.0, 2.0]], dtype=torch.float64)
Y = torch.tensor([[0.7, -1.2], [2.0, 0.1]], dtype=torch.float64)
SIGMA = 0.4
PRIOR = OneStepPrior(ReflowedGaussian(MEAN, COVARIANCE).velocity, (3,))
SEARCH = LatentMap(num_steps=600, num_restarts=3)


def likelihood_of(y):
    return Likelihood(Matrix(MATRIX), GaussianNoise(SIGMA), y)


def posterior_mean(y):
    gain = (
        COVARIANCE
        @ MATRIX.T
        @ torch.linalg.inv(MATRIX @ COVARIANCE @ MATRIX.T + SIGMA**2 * torch.eye(2))
    )
    return MEAN + (y - MATRIX @ MEAN) @ gain.T


def test_of_a_linear_generator_it_is_the_posterior_mean(generator):
    for y in (Y[0], Y):
        found = SEARCH.reconstruct(likelihood_of(y), PRIOR, (3,), generator=generator)
        torch.testing.assert_close(found.image, posterior_mean(y), rtol=0, atol=1e-3)
        torch.testing.assert_close(PRIOR(found.latent), found.image)
        # a convex objective has one minimum for all starts
        assert (found.objective.max(0).values - found.objective.min(0).values).max() < 1e-4


def test_the_objective_is_what_it_says(generator):
    found = SEARCH.reconstruct(likelihood_of(Y), PRIOR, (3,), generator=generator)
    off = (Y - found.image @ MATRIX.T).square().sum(-1) / (2 * SIGMA**2)
    level = torch.log(torch.tensor(2 * torch.pi * SIGMA**2))
    expected = off + found.latent.square().sum(-1) / 2 + level
    torch.testing.assert_close(found.objective.min(0).values, expected, rtol=1e-6, atol=1e-8)


def test_starts_and_problems_do_not_change_each_other():
    z = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    search = LatentMap(num_steps=7, num_restarts=3)
    both = z.clone().requires_grad_()
    search._descend(both, likelihood_of(Y), PRIOR)
    alone = z[1:2, 1].clone().requires_grad_()
    search._descend(alone, likelihood_of(Y[1]), PRIOR)
    torch.testing.assert_close(alone[0], both[1, 1])


def test_the_lowest_of_several_valleys_is_kept(generator):
    # y = |z| / 2 + z / 4 has two answers, the positive one nearer to 0
    def bent(z):
        return z.abs() / 2 + z / 4

    one = Likelihood(Matrix(torch.eye(1).double()), GaussianNoise(0.05), torch.ones(1).double())
    search = LatentMap(num_steps=300, num_restarts=8)
    found = search.reconstruct(one, bent, (1,), generator=generator)
    assert found.objective.max() - found.objective.min() > 1
    assert found.latent.item() == pytest.approx(1 / 0.75, abs=0.02)
    assert found.objective.shape == (8,)


def test_it_is_deterministic_and_leaves_the_derivatives_of_a_network_alone():
    layer = torch.nn.Linear(3, 3).double()
    runs = [
        LatentMap(5, num_restarts=2).reconstruct(
            likelihood_of(Y), layer, (3,), generator=torch.Generator().manual_seed(1)
        )
        for _ in range(2)
    ]
    assert torch.equal(runs[0].image, runs[1].image)
    assert not runs[0].image.requires_grad
    assert layer.weight.grad is None


def test_bad_input_raises(generator):
    with pytest.raises(ValueError, match="got 0, 4 and"):
        LatentMap(0)
    with pytest.raises(ValueError, match="learning_rate > 0"):
        LatentMap(learning_rate=0.0)
    with pytest.raises(ValueError, match="objective is not finite"):
        LatentMap(2).reconstruct(likelihood_of(Y), lambda z: z / 0, (3,), generator=generator)
