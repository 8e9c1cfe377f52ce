"""Data that count by direction: limits, the strongest direction, and the gradient."""

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.samplers.data_covariance import DataCovariance
from invdiff.samplers.tempered_target import (
    TemperedTarget,
    direction_temperatures,
    misfit_energy,
    tempered_energy,
)
from operators import FiniteDifferences, GaussianNoise, Matrix


@pytest.fixture
def likelihood(generator):
    matrix = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    # a direction that is not measured at all
    matrix[:, 3] = matrix[:, 2]
    y = torch.randn(2, 6, generator=generator, dtype=torch.float64)
    return Likelihood(Matrix(matrix), GaussianNoise(0.3), y)


@pytest.fixture
def norm(likelihood):
    """Of both problems; exact, where a sampler has an estimate from below."""
    largest = likelihood.operator.singular_values.max()
    return (largest**2 * likelihood.precision).expand(2)


def energy(likelihood, x, alpha, norm):
    return tempered_energy(likelihood, x, alpha, direction_temperatures(likelihood, alpha, norm))


def test_strongest_direction_has_the_common_alpha_and_weaker_ones_more(likelihood, norm):
    alpha = torch.tensor([0.02, 0.7], dtype=torch.float64)
    directions = direction_temperatures(likelihood, alpha, norm)
    torch.testing.assert_close(directions[:, 0], alpha)
    assert (directions.diff(dim=1) > 0).all()
    assert (directions <= 1).all()


def test_all_data_count_in_the_end_and_none_at_the_start(likelihood, norm, generator):
    x = torch.randn(3, 2, 4, generator=generator, dtype=torch.float64)
    whole = misfit_energy(likelihood, x)
    torch.testing.assert_close(energy(likelihood, x, torch.ones(2).double(), norm), whole)
    start = energy(likelihood, x, torch.zeros(2).double(), norm)
    # but for what no image explains, the same for all particles
    torch.testing.assert_close(start, start[:1].expand(3, 2))


def test_data_score_is_the_gradient_of_the_energy(likelihood, norm, generator):
    x = torch.randn(3, 2, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    alpha = torch.tensor([0.02, 0.7], dtype=torch.float64)
    directions = direction_temperatures(likelihood, alpha, norm)
    total = tempered_energy(likelihood, x, alpha, directions).sum()
    (gradient,) = torch.autograd.grad(total, x)
    target = TemperedTarget(likelihood, lambda x, s: x, torch.tensor(1.0), alpha, directions)
    torch.testing.assert_close(target.data_score(x.detach()), -gradient)


def test_inverse_norm_belongs_to_the_covariance(likelihood, norm, generator):
    x = torch.randn(3, 2, 4, generator=generator, dtype=torch.float64)
    alpha = torch.tensor([0.02, 0.7], dtype=torch.float64)
    directions = direction_temperatures(likelihood, alpha, norm)
    covariance = DataCovariance(likelihood, alpha, torch.tensor(0.5).double(), 20, directions)
    product = (x * covariance.apply(x)).sum(-1)
    torch.testing.assert_close(covariance.inverse_norm(covariance.apply(x)), product)


def test_unknown_svd_has_one_alpha(generator):
    y = torch.randn(2, *FiniteDifferences((3, 3)).out_shape, generator=generator)
    likelihood = Likelihood(FiniteDifferences((3, 3)), GaussianNoise(0.3), y)
    alpha = torch.tensor([0.1, 0.5], dtype=torch.float64)
    assert direction_temperatures(likelihood, alpha, torch.ones(2)) is None
    x = torch.randn(4, 2, 3, 3, generator=generator)
    found = tempered_energy(likelihood, x, alpha, None)
    torch.testing.assert_close(found, alpha * misfit_energy(likelihood, x))


def test_energy_of_a_very_noisy_image_survives_float32(likelihood, norm, generator):
    """Weak directions count early: their share must not drown in that of the strong ones."""
    x = 1e4 * torch.randn(5, 2, 4, generator=generator, dtype=torch.float64)
    single = Likelihood(likelihood.operator, likelihood.noise, likelihood.y.float())
    alpha = torch.full((2,), 1e-9, dtype=torch.float64)
    exact = energy(likelihood, x, alpha, norm)
    # the misfit is 1e9 here: as a difference of such numbers the energy would be off by a hundred
    torch.testing.assert_close(energy(single, x.float(), alpha, norm), exact, rtol=2e-3, atol=0.02)
