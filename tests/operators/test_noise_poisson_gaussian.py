from __future__ import annotations

import math

import pytest
import torch

from operators import GaussianNoise, PoissonGaussianNoise, PoissonNoise

DRAWS = 40_000
ERRORS = 4.5  # standard errors: one false alarm in 150 000 at another seed


def _constant(*values):
    return torch.tensor(values, dtype=torch.float64)


def _brute_force(y, clean, gain, sigma):
    k = torch.arange(0, 3000, dtype=torch.float64)
    rate = gain * clean
    log_mass = torch.xlogy(k, rate) - rate - torch.lgamma(k + 1)
    log_normal = -((y - k / gain) ** 2) / (2 * sigma**2) - math.log(sigma * math.sqrt(2 * math.pi))
    return torch.logsumexp(log_mass + log_normal, 0)


def _density_on_grid(rate, gain, sigma):
    noise, clean = PoissonGaussianNoise(gain, sigma), _constant(rate / gain)
    deviation = math.sqrt(rate / gain**2 + sigma**2)
    low, high = -9 * sigma, rate / gain + 10 * deviation + 12 / gain
    y = torch.linspace(low, high, 20_001, dtype=torch.float64)
    return y, noise.log_prob(y, clean).exp() * (y[1] - y[0])


@pytest.mark.parametrize("gain", [0.1, 1.0, 50.0])
@pytest.mark.parametrize("readout", [0.05, 0.5, 3.0, 40.0])
def test_log_prob_is_the_whole_sum(gain, readout):
    sigma = readout / gain
    for rate in (0.0, 1e-12, 0.3, 4.0, 200.0):
        clean = _constant(rate / gain)
        deviation = math.sqrt(rate / gain**2 + sigma**2)
        y = clean + deviation * _constant(-6.0, -1.0, 0.0, 2.0, 9.0)
        expected = torch.stack([_brute_force(v, clean, gain, sigma) for v in y])
        actual = PoissonGaussianNoise(gain, sigma).log_prob(y, clean)
        # terms of some thousands cancel in either sum
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rate", [0.0, 0.4, 5.0, 60.0])
@pytest.mark.parametrize("readout", [0.1, 0.8, 6.0])
def test_density_integrates_to_one(rate, readout):
    _, mass = _density_on_grid(rate, 2.5, readout / 2.5)
    assert mass.sum().item() == pytest.approx(1, abs=1e-8)


def test_approaches_either_of_its_parts():
    clean = _constant(0.7, 3.0)
    # much read-out noise: normal of the summed variance; little: the mass of the nearest count
    noise, both = PoissonGaussianNoise(1.0, 200.0), math.sqrt(200.0**2 + 3.0)
    actual = noise.log_prob(_constant(150.0), clean[1:])
    expected = GaussianNoise(both).log_prob(_constant(150.0), clean[1:])
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)
    sigma = 1e-3
    actual = PoissonGaussianNoise(2.0, sigma).log_prob(_constant(0.5, 4.0), clean)
    peak = -math.log(sigma * math.sqrt(2 * math.pi))
    expected = PoissonNoise(2.0).log_prob(_constant(0.5, 4.0), clean) + peak
    torch.testing.assert_close(actual, expected)


def test_first_and_second_derivatives_are_those_of_the_sum():
    gain, sigma = 2.0, 0.8
    y = _constant(-0.5, 0.3, 2.0, 5.0).requires_grad_()
    clean = _constant(0.2, 1.0, 1.5, 6.0).requires_grad_()
    exact = torch.stack(
        [_brute_force(a, b, gain, sigma) for a, b in zip(y, clean, strict=True)]
    ).sum()
    log_prob = PoissonGaussianNoise(gain, sigma).log_prob(y, clean).sum()
    first, expected = (
        torch.autograd.grad(f, (y, clean), create_graph=True) for f in (log_prob, exact)
    )
    torch.testing.assert_close(first, expected)
    second, expected = (
        torch.autograd.grad(sum(g.sum() for g in gs), (y, clean)) for gs in (first, expected)
    )
    torch.testing.assert_close(second, expected)


def test_score_is_finite_at_zero_rate_and_nothing_below():
    clean = _constant(0.0, -1.0).requires_grad_()
    log_prob = PoissonGaussianNoise(2.0, 0.5).log_prob(_constant(0.1, 0.1), clean)
    assert log_prob[1] == -math.inf
    (score,) = torch.autograd.grad(log_prob[0], clean)
    # p(y - 1/g) / p(y) - 1 with the read-out's density alone
    ratio = math.exp(-((0.1 - 0.5) ** 2) / 0.5 + 0.1**2 / 0.5)
    torch.testing.assert_close(score, _constant(2.0 * (ratio - 1), 0.0))


def test_float32_is_as_exact_as_its_result():
    noise = PoissonGaussianNoise(1.0, 3.0)
    y, clean = torch.tensor([1e4, 9.9e3, 2.0]), torch.tensor([1e4, 1e4, 0.1])
    actual = noise.log_prob(y, clean)
    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual, noise.log_prob(y.double(), clean.double()).float())


def test_moments(generator):
    clean = _constant(0.0, 0.2, 3.0, 100.0).expand(DRAWS, 4)
    draws = PoissonGaussianNoise(2.0, 0.4).sample(clean, generator=generator)
    mean, variance = clean[0], clean[0] / 2 + 0.16
    assert ((draws.mean(0) - mean).abs() < ERRORS * (variance / DRAWS).sqrt()).all()
    squares = (draws - mean) ** 2
    error = (squares.var(0) / DRAWS).sqrt()
    assert ((squares.mean(0) - variance).abs() < ERRORS * error).all()


def test_draws_follow_the_generator():
    clean = torch.rand(5, 4, generator=torch.Generator().manual_seed(9))
    draws = [
        PoissonGaussianNoise(3, 0.1).sample(clean, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert draws[0].dtype == clean.dtype


@pytest.mark.parametrize("rate", [0.0, 0.1, 1.0, 4.0, 50.0])
@pytest.mark.parametrize("readout", [0.1, 0.5, 1.0, 5.0])
def test_quadratic_has_an_unbiased_score(rate, readout):
    gain = 2.5
    y, mass = _density_on_grid(rate, gain, readout / gain)
    target, precision = PoissonGaussianNoise(gain, readout / gain).quadratic(y)
    score = (precision * (target - rate / gain) * mass).sum().item()
    scale = (precision * mass).sum().item()
    assert abs(score) < 1e-7 * max(scale, gain**2)


@pytest.mark.parametrize("readout", [0.1, 1.0, 5.0])
def test_quadratic_precision_approaches_the_inverse_variance(readout):
    gain = 2.5
    for rate, lowest in ((0.3, 0.0), (10.0, 0.95), (60.0, 0.98)):
        y, mass = _density_on_grid(rate, gain, readout / gain)
        _, precision = PoissonGaussianNoise(gain, readout / gain).quadratic(y)
        variance = rate / gain**2 + (readout / gain) ** 2
        assert lowest < (precision * mass).sum().item() * variance < 1 + 1e-6


def test_quadratic_is_finite_far_below_zero():
    for dtype in (torch.float32, torch.float64):
        y = torch.tensor([-1e6, -10.0, 0.0, 1e6], dtype=dtype)
        target, precision = PoissonGaussianNoise(1.0, 0.5).quadratic(y)
        assert target.isfinite().all()
        assert (precision > 0).all()


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_refuses_levels(value):
    with pytest.raises(ValueError, match="PoissonGaussianNoise: gain"):
        PoissonGaussianNoise(value, 1.0)
    with pytest.raises(ValueError, match="PoissonGaussianNoise: sigma"):
        PoissonGaussianNoise(1.0, value)


def test_refuses_impossible_values(generator):
    noise = PoissonGaussianNoise(1.0, 1.0)
    noise.check(_constant(-3.0, 2.5))
    with pytest.raises(ValueError, match="is not finite"):
        noise.check(_constant(math.inf))
    with pytest.raises(ValueError, match="expected real values"):
        noise.check(torch.tensor([1j]))
    with pytest.raises(ValueError, match=r"value -0.5 at \(1,\) is negative"):
        noise.sample(_constant(1.0, -0.5), generator=generator)
