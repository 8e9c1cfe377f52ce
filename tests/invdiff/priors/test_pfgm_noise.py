"""Student t noise: its scale, its density and how far it is from Gaussian noise."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import chi2, kstest, multivariate_t

from invdiff.priors.pfgm import (
    student_divergence,
    student_log_density,
    student_precision,
    student_scale,
)
from invdiff.rng import derive_generator

DOFS = [1.0, 3.5, 16.0, 2.0**20]


@pytest.mark.parametrize("dof", DOFS)
def test_the_scale_is_that_of_a_chi_square(dof):
    scale = student_scale(4000, dof, generator=derive_generator(0))
    assert kstest((dof / scale**2).numpy(), chi2(dof).cdf).pvalue > 1e-3


def test_infinite_dimension_draws_nothing(generator):
    before = generator.get_state()
    assert student_scale(3, math.inf, generator=generator).tolist() == [1, 1, 1]
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("dof", [*DOFS, math.inf])
def test_the_density_is_the_multivariate_t(dof, generator):
    x = 2 * torch.randn(6, 3, generator=generator, dtype=torch.float64)
    sigma = torch.tensor(0.7, dtype=torch.float64)
    found = student_log_density((x**2).sum(-1), sigma, 3, dof)
    expected = multivariate_t(torch.zeros(3), 0.49 * torch.eye(3), df=dof).logpdf(x)
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("dof", [*DOFS, math.inf])
def test_the_precision_is_that_of_the_score(dof, generator):
    x = torch.randn(5, 4, generator=generator, dtype=torch.float64).requires_grad_()
    sigma = torch.tensor(0.7, dtype=torch.float64)
    square = (x**2).sum(-1)
    (score,) = torch.autograd.grad(student_log_density(square, sigma, 4, dof).sum(), x)
    precision = student_precision(square, sigma, 4, dof).unsqueeze(-1)
    torch.testing.assert_close(score, -precision * x)


@pytest.mark.parametrize(("power", "exact"), [(14, 0.00784), (17, 0.00014)])
def test_divergence_from_gaussian_noise(power, exact):
    num, dof = 3072, 2.0**power
    found = student_divergence(num, dof)
    assert found == pytest.approx(exact, abs=5e-6)
    limit = num * (num + 6) / (4 * dof**2)
    assert abs(found / limit - 1) < num / dof


@pytest.mark.parametrize("num", [1, 16, 3072])
@pytest.mark.parametrize("dof", [1e8, 1e12])
def test_divergence_keeps_its_digits_for_large_dof(num, dof):
    # covariances that differ by 2 / D add 4 N to the N (N + 2) of the shapes
    assert student_divergence(num, dof) == pytest.approx(num * (num + 6) / (4 * dof**2), rel=1e-3)


@pytest.mark.parametrize("num", [1, 40, 5000])
def test_both_forms_of_the_divergence_meet(num):
    below, at, above = (student_divergence(num, dof) for dof in (199.999, 200.0, 200.001))
    assert below > at > above
    assert above - at == pytest.approx(at - below, rel=1e-2)


def test_divergence_is_the_mean_of_the_log_ratio():
    num, dof, count = 3, 9.0, 200000
    scale = student_scale(count, dof, generator=derive_generator(1))
    z = torch.randn(count, num, generator=derive_generator(2), dtype=torch.float64)
    square, one = scale**2 * (z**2).sum(-1), torch.ones((), dtype=torch.float64)
    ratio = student_log_density(square, one, num, dof)
    ratio = ratio - student_log_density(square, one, num, math.inf)
    error = float(ratio.std()) / count**0.5
    assert abs(student_divergence(num, dof) - float(ratio.mean())) < 4.5 * error


def test_divergence_at_the_ends():
    assert student_divergence(4, 2.0) == math.inf
    assert student_divergence(4, math.inf) == 0


@pytest.mark.parametrize("dof", [0.99, -1.0, math.nan])
def test_refuses_a_dimension_below_one(dof, generator):
    with pytest.raises(ValueError, match="at least 1"):
        student_scale(1, dof, generator=generator)
    with pytest.raises(ValueError, match="at least 1"):
        student_divergence(3, dof)
