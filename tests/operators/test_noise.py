from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from operators import GaussianNoise, PoissonNoise, TransmissionNoise

DRAWS = 40_000
ERRORS = 4.5  # standard errors: one false alarm in 150 000 at another seed


def _check_moments(draws, mean, variance):
    """Compare the moments of independent draws along the first axis with the exact ones."""
    deviation = draws.mean(0) - mean
    assert (deviation.abs() < ERRORS * (variance / len(draws)).sqrt()).all()
    squares = (draws - mean) ** 2
    error = (squares.var(0) / len(draws)).sqrt()
    assert ((squares.mean(0) - variance).abs() < ERRORS * error).all()


def _constant(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_gaussian_moments(generator):
    clean = _constant(-1.0, 0.0, 5.0).expand(DRAWS, 3)
    draws = GaussianNoise(0.3).sample(clean, generator=generator)
    _check_moments(draws, clean[0], torch.full((3,), 0.09, dtype=torch.float64))


def test_complex_gaussian_has_sigma_in_each_part(generator):
    clean = torch.tensor([1 + 2j, 0j], dtype=torch.complex128).expand(DRAWS, 2)
    draws = GaussianNoise(0.5).sample(clean, generator=generator)
    for part, mean in ((draws.real, clean[0].real), (draws.imag, clean[0].imag)):
        _check_moments(part, mean, torch.full((2,), 0.25, dtype=torch.float64))
    product = ((draws - clean).real * (draws - clean).imag).mean(0)
    assert (product.abs() < ERRORS * 0.25 / math.sqrt(DRAWS)).all()


def test_poisson_moments(generator):
    clean = _constant(0.0, 0.2, 3.0, 100.0).expand(DRAWS, 4)
    draws = PoissonNoise(2.0).sample(clean, generator=generator)
    assert (draws[:, 0] == 0).all()
    _check_moments(draws[:, 1:], clean[0, 1:], clean[0, 1:] / 2)


def test_transmission_moments(generator):
    clean = _constant(0.0, 2.0, 6.0).expand(DRAWS, 3)
    draws = TransmissionNoise(1000.0).sample(clean, generator=generator)
    mean = 1000 * torch.exp(-clean[0])
    _check_moments(draws, mean, mean)


@pytest.mark.parametrize("noise", [GaussianNoise(0.1), PoissonNoise(3), TransmissionNoise(50)])
def test_draws_follow_the_generator(noise):
    clean = torch.rand(5, 4, generator=torch.Generator().manual_seed(9))
    draws = [
        noise.sample(clean, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert draws[0].dtype == clean.dtype


def test_gaussian_log_prob_is_that_of_scipy():
    y, clean = _constant(0.1, 2.0, -1.0), _constant(0.0, 1.0, 1.0)
    expected = stats.norm.logpdf(y.numpy(), clean.numpy(), 0.7)
    torch.testing.assert_close(GaussianNoise(0.7).log_prob(y, clean), torch.from_numpy(expected))
    z = torch.complex(y, clean)
    both = stats.norm.logpdf(y.numpy(), 0, 0.7) + stats.norm.logpdf(clean.numpy(), 0, 0.7)
    actual = GaussianNoise(0.7).log_prob(z, torch.zeros_like(z))
    assert not actual.is_complex()
    torch.testing.assert_close(actual, torch.from_numpy(both))


def test_poisson_log_prob_is_that_of_scipy():
    counts, clean = _constant(0, 1, 7, 0, 200), _constant(0.5, 0.25, 2.0, 0.0, 50.0)
    expected = stats.poisson.logpmf(counts.numpy(), 4 * clean.numpy())
    actual = PoissonNoise(4.0).log_prob(counts / 4, clean)
    torch.testing.assert_close(actual, torch.from_numpy(expected))


def test_poisson_log_prob_at_and_below_zero_rate():
    clean = _constant(0.0, -1.0, -1.0).requires_grad_()
    log_prob = PoissonNoise(2.0).log_prob(_constant(0.0, 1.0, 0.0), clean)
    assert log_prob.tolist() == [0, -math.inf, -math.inf]
    (score,) = torch.autograd.grad(log_prob[0], clean)
    assert score.tolist() == [-2, 0, 0]


def test_transmission_log_prob_is_that_of_scipy():
    counts, clean = _constant(0, 3, 900, 20), _constant(9.0, 5.0, 0.0, -0.5)
    expected = stats.poisson.logpmf(counts.numpy(), 1000 * torch.exp(-clean).numpy())
    actual = TransmissionNoise(1000.0).log_prob(counts, clean)
    torch.testing.assert_close(actual, torch.from_numpy(expected))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_gaussian_quadratic_is_exact(dtype, generator):
    noise = GaussianNoise(0.4)
    y, first, second = torch.randn(3, 6, generator=generator, dtype=dtype)
    target, precision = noise.quadratic(y)
    assert precision.shape == ()
    assert not precision.is_complex()
    energies = [precision * (c - target).abs().square().sum() / 2 for c in (first, second)]
    expected = (noise.log_prob(y, second) - noise.log_prob(y, first)).sum()
    torch.testing.assert_close(energies[0] - energies[1], expected)


def _poisson_mean(values, rate):
    counts = torch.arange(len(values)).numpy()
    return (torch.from_numpy(stats.poisson.pmf(counts, rate)) * values).sum().item()


@pytest.mark.parametrize("rate", [0.01, 0.3, 1.0, 4.0, 50.0])
def test_poisson_quadratic_has_an_unbiased_score(rate):
    gain = 2.5
    counts = torch.arange(400, dtype=torch.float64)
    target, precision = PoissonNoise(gain).quadratic(counts / gain)
    score = _poisson_mean(precision * (target - rate / gain), rate)
    assert abs(score) < 1e-12


@pytest.mark.parametrize(
    ("rate", "bias"), [(1.0, 0.07), (2.0, 0.013), (5.0, 3e-4), (20.0, 1e-9), (100.0, 1e-9)]
)
def test_transmission_quadratic_has_a_score_of_little_bias(rate, bias):
    photons = 1e4
    counts = torch.arange(400, dtype=torch.float64)
    target, precision = TransmissionNoise(photons).quadratic(counts)
    attenuation = math.log(photons / rate)
    score = _poisson_mean(precision * (target - attenuation), rate)
    assert abs(score / _poisson_mean(precision, rate)) < bias


def test_transmission_quadratic_approaches_that_of_the_likelihood():
    noise, y = TransmissionNoise(1e6), _constant(1e4, 5e5)
    target, precision = noise.quadratic(y)
    clean = target.clone().requires_grad_()
    (score,) = torch.autograd.grad(noise.log_prob(y, clean).sum(), clean, create_graph=True)
    (curvature,) = torch.autograd.grad(score.sum(), clean)
    # the mean lies half a count off the mode
    assert (score.abs() <= 0.51).all()
    torch.testing.assert_close(-curvature, precision, rtol=1e-4, atol=0)


def test_transmission_quadratic_of_an_empty_ray_is_finite():
    target, precision = TransmissionNoise(100.0).quadratic(_constant(0.0, 1.0, 2.0))
    assert target.isfinite().all()
    assert (target.diff() < 0).all()
    assert 0 < precision[0] < precision[1]


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("cls", [GaussianNoise, PoissonNoise, TransmissionNoise])
def test_refuses_level(cls, value):
    with pytest.raises(ValueError, match=cls.__name__):
        cls(value)


@pytest.mark.parametrize(
    ("noise", "y", "message"),
    [
        (GaussianNoise(1), _constant(0, math.nan), r"value nan at \(1,\) is not finite"),
        (GaussianNoise(1), torch.tensor([[0j, complex(0, math.inf)]]), r"at \(0, 1\)"),
        (PoissonNoise(1), _constant(1, -2), r"value -2.0 at \(1,\) is negative"),
        (TransmissionNoise(1), _constant(math.inf), "is not finite"),
        (TransmissionNoise(1), _constant(3, -1), "is negative"),
        (PoissonNoise(1), torch.tensor([1j]), "must be real"),
    ],
)
def test_check_names_value_and_position(noise, y, message):
    with pytest.raises(ValueError, match=message):
        noise.check(y)


def test_check_accepts_measurements():
    GaussianNoise(1).check(torch.tensor([-1.0, 2.0]))
    PoissonNoise(1).check(torch.tensor([0.0, 2.5]))
    TransmissionNoise(1).check(torch.tensor([0.0, 7.0]))


@pytest.mark.parametrize(
    ("noise", "clean"),
    [
        (PoissonNoise(1), _constant(-0.1)),
        (PoissonNoise(1), _constant(math.nan)),
        (TransmissionNoise(1), _constant(math.nan)),
        (TransmissionNoise(1), torch.tensor([1j])),
    ],
)
def test_counts_refuse_impossible_clean_values(noise, clean, generator):
    with pytest.raises(ValueError, match="Noise"):
        noise.sample(clean, generator=generator)
