from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from operators import (
    CartesianMRI,
    CorrelatedGaussianNoise,
    GaussianNoise,
    Whitening,
    birdcage_maps,
    estimate_covariance,
    prewhitened,
)

DRAWS = 40_000
ERRORS = 4.5  # standard errors: one false alarm in 150 000 at another seed


def _covariance(size, dtype=torch.complex128, seed=3):
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(size, size, generator=generator, dtype=dtype)
    return factor @ factor.mH + 0.3 * torch.eye(size)


def _as_real(covariance):
    """Covariance of (real, imaginary) parts of complex noise whose E[e e^H] is twice that."""
    top = torch.cat([covariance.real, -covariance.imag], 1)
    return torch.cat([top, torch.cat([covariance.imag, covariance.real], 1)], 0)


def test_log_prob_is_the_joint_density_of_real_entries(generator):
    covariance = _covariance(3, torch.float64)
    noise = CorrelatedGaussianNoise(covariance)
    y, clean = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    normal = stats.multivariate_normal(mean=None, cov=covariance.numpy())
    expected = torch.from_numpy(normal.logpdf((y - clean).mT.numpy()))
    torch.testing.assert_close(noise.log_prob(y, clean).sum(-2), expected)


def test_log_prob_is_the_joint_density_of_complex_entries(generator):
    covariance = _covariance(2)
    y, clean = torch.randn(2, 2, 5, generator=generator, dtype=torch.complex128)
    e = y - clean
    normal = stats.multivariate_normal(mean=None, cov=_as_real(covariance).numpy())
    expected = torch.from_numpy(normal.logpdf(torch.cat([e.real, e.imag]).mT.numpy()))
    actual = CorrelatedGaussianNoise(covariance).log_prob(y, clean)
    assert not actual.is_complex()
    torch.testing.assert_close(actual.sum(-2), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_white_covariance_is_gaussian_noise(dtype, generator):
    noise = CorrelatedGaussianNoise(0.49 * torch.eye(3, dtype=torch.float64), -1)
    y, clean = torch.randn(2, 4, 3, generator=generator, dtype=dtype)
    plain = GaussianNoise(0.7)
    torch.testing.assert_close(noise.log_prob(y, clean), plain.log_prob(y, clean))
    target, precision = noise.quadratic(y)
    assert torch.equal(target, y)
    expected = torch.full((3,), 1 / 0.49, dtype=torch.float64)
    torch.testing.assert_close(precision, expected)
    draws = [n.sample(clean, generator=torch.Generator().manual_seed(1)) for n in (noise, plain)]
    torch.testing.assert_close(*draws)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_draws_have_the_covariance(dtype, generator):
    covariance = _covariance(3, dtype)
    clean = torch.ones(3, DRAWS, dtype=dtype)
    e = CorrelatedGaussianNoise(covariance).sample(clean, generator=generator) - clean
    products = e.unsqueeze(1) * e.unsqueeze(0).conj() / (2 if dtype.is_complex else 1)
    error = products.std(-1) / math.sqrt(DRAWS)
    assert ((products.mean(-1) - covariance).abs() < ERRORS * error).all()
    torch.testing.assert_close(estimate_covariance(e), products.mean(-1))


def test_draws_of_complex_noise_are_circular(generator):
    clean = torch.zeros(2, DRAWS, dtype=torch.complex128)
    e = CorrelatedGaussianNoise(_covariance(2)).sample(clean, generator=generator)
    pseudo = e.unsqueeze(1) * e.unsqueeze(0)
    error = pseudo.std(-1) / math.sqrt(DRAWS)
    assert (pseudo.mean(-1).abs() < ERRORS * error).all()


def test_whitened_noise_has_unit_covariance():
    covariance = _covariance(4)
    whitening = Whitening(covariance, (4, 4), complex_valued=True)
    inverse = whitening(torch.eye(4, dtype=torch.complex128))
    torch.testing.assert_close(
        inverse @ covariance @ inverse.mH, torch.eye(4, dtype=torch.complex128)
    )


@pytest.mark.parametrize("axis", [-3, -1])
def test_any_axis(axis, generator):
    covariance = _covariance(3)
    shape = (3, 2, 4) if axis == -3 else (4, 2, 3)
    y = torch.randn(5, *shape, generator=generator, dtype=torch.complex128)
    moved = y.movedim(axis, -2)
    zero = torch.zeros_like
    actual = CorrelatedGaussianNoise(covariance, axis).log_prob(y, zero(y)).movedim(axis, -2)
    expected = CorrelatedGaussianNoise(covariance).log_prob(moved, zero(moved))
    torch.testing.assert_close(actual, expected)
    _, precision = CorrelatedGaussianNoise(covariance, axis).quadratic(y)
    assert (precision * y).shape == y.shape


def test_prewhitened_likelihood_differs_by_a_constant(generator):
    """The normaliser, log det L for each of the two parts and every sample."""
    covariance = _covariance(3)
    mask = torch.rand(5, 4, generator=generator) < 0.6
    mri = CartesianMRI(mask, birdcage_maps((5, 4), 3).to(torch.complex128))
    noise = CorrelatedGaussianNoise(covariance)
    images = torch.randn(6, 5, 4, generator=generator, dtype=torch.complex128)
    y = noise.sample(mri(images[0]), generator=generator)
    operator, white, z = prewhitened(mri, noise, y)
    assert white == GaussianNoise(1.0)
    before = noise.log_prob(y, mri(images)).sum((-2, -1))
    after = white.log_prob(z, operator(images)).sum((-2, -1))
    constant = torch.logdet(covariance).real * mask.sum()
    torch.testing.assert_close(after - before, constant.expand(6))


def test_quadratic_ignores_correlations_without_bias():
    noise = CorrelatedGaussianNoise(_covariance(3))
    y = torch.zeros(3, 2, dtype=torch.complex64)
    target, precision = noise.quadratic(y)
    assert torch.equal(target, y)
    expected = 1 / noise.covariance.diagonal().real.float()
    torch.testing.assert_close(precision, expected.unsqueeze(-1))


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (torch.ones(2, 3), "square"),
        (torch.ones(0, 0), "square"),
        (torch.ones(2, 2), "positive definite"),
        (torch.tensor([[1.0, 0.5], [-0.5, 1.0]]), "Hermitian"),
        (torch.tensor([[1.0, math.nan], [math.nan, 1.0]]), "Hermitian, or not finite"),
        (torch.eye(2, dtype=torch.int64), "floating-point"),
    ],
)
def test_refuses_covariance(covariance, message):
    with pytest.raises(ValueError, match=f"CorrelatedGaussianNoise: .*{message}"):
        CorrelatedGaussianNoise(covariance)
    with pytest.raises(ValueError, match=f"Whitening: .*{message}"):
        Whitening(covariance, (2, 2))


def test_refuses_measurements_that_do_not_fit(generator):
    noise = CorrelatedGaussianNoise(_covariance(3))
    with pytest.raises(ValueError, match="expected 3 entries along axis -2"):
        noise.check(torch.zeros(2, 4, dtype=torch.complex64))
    with pytest.raises(ValueError, match="expected 3 entries"):
        noise.sample(torch.zeros(3, dtype=torch.complex64), generator=generator)
    with pytest.raises(ValueError, match="covariance is complex"):
        noise.check(torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"at \(1, 0\) is not finite"):
        noise.check(torch.tensor([[0j], [complex(math.nan, 0)], [0j]]))
    with pytest.raises(ValueError, match="axis must be negative"):
        CorrelatedGaussianNoise(_covariance(3), 0)
    with pytest.raises(ValueError, match="expected 3 entries along axis -2"):
        Whitening(_covariance(3), (2, 4), complex_valued=True)
    with pytest.raises(ValueError, match="needs complex_valued"):
        Whitening(_covariance(3), (3, 4))


def test_estimate_needs_as_many_samples_as_entries():
    with pytest.raises(ValueError, match="2 samples of 3 entries"):
        estimate_covariance(torch.ones(3, 2))
