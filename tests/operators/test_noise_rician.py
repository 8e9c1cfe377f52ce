from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from operators import RicianNoise

DRAWS = 40_000
ERRORS = 4.5  # standard errors: one false alarm in 150 000 at another seed
SIGMA = 0.7


def _constant(*values):
    return torch.tensor(values, dtype=torch.float64)


def _density_on_grid(magnitude, noise):
    """Magnitudes by the midpoint rule, and their probabilities."""
    step = noise.sigma / 500
    y = (torch.arange(500 * 12 + int(magnitude / step), dtype=torch.float64) + 0.5) * step
    return y, noise.log_prob(y, _constant(magnitude)).exp() * step


def test_log_prob_is_that_of_scipy():
    y, clean = _constant(0.1, 1.0, 3.0, 500.0, 2.0), _constant(0.0, 2.0, -2.5, 499.0, 0.3)
    expected = stats.rice.logpdf(y.numpy(), clean.abs().numpy() / SIGMA, scale=SIGMA)
    actual = RicianNoise(SIGMA).log_prob(y, clean)
    torch.testing.assert_close(actual, torch.from_numpy(expected))


@pytest.mark.parametrize("magnitude", [0.0, 0.4, 2.0, 20.0])
def test_density_integrates_to_one(magnitude):
    _, mass = _density_on_grid(magnitude, RicianNoise(SIGMA))
    # midpoint rule with 500 points to one sigma
    assert mass.sum().item() == pytest.approx(1, abs=1e-6)


def test_far_from_zero_it_is_finite_in_float32():
    y, clean = torch.tensor([1e4, 1e4, 3.0]), torch.tensor([1e4, 1.0001e4, 0.0])
    clean.requires_grad_()
    log_prob = RicianNoise(1.0).log_prob(y, clean)
    (score,) = torch.autograd.grad(log_prob.sum(), clean)
    assert log_prob.isfinite().all()
    assert score.isfinite().all()
    assert score[2] == 0  # even in the clean value


def test_score_is_the_ratio_of_bessel_functions():
    """d log p / dm = (y I1(z) / I0(z) - m) / sigma^2 with z = y m / sigma^2, odd in m."""
    y, clean = _constant(0.2, 1.0, 4.0, 4.0), _constant(1.5, 0.1, 3.0, -3.0).requires_grad_()
    (score,) = torch.autograd.grad(RicianNoise(SIGMA).log_prob(y, clean).sum(), clean)
    m = clean.detach()
    z = y * m / SIGMA**2
    expected = (y * torch.special.i1(z) / torch.special.i0(z) - m) / SIGMA**2
    torch.testing.assert_close(score, expected)


def test_moments(generator):
    clean = _constant(0.0, 0.5, 3.0, -3.0).expand(DRAWS, 4)
    draws = RicianNoise(SIGMA).sample(clean, generator=generator)
    shape = clean[0].abs().numpy() / SIGMA
    for power in (1, 2, 4):
        moments = [stats.rice.moment(power, b, scale=SIGMA) for b in shape]
        values = draws**power
        error = values.std(0) / math.sqrt(DRAWS)
        assert ((values.mean(0) - _constant(*moments)).abs() < ERRORS * error).all()
    second = clean[0] ** 2 + 2 * SIGMA**2
    assert ((draws**2).mean(0) - second).abs().max() < 0.1


def test_draws_follow_the_generator():
    clean = torch.rand(5, 4, generator=torch.Generator().manual_seed(9))
    draws = [
        RicianNoise(0.1).sample(clean, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert draws[0].dtype == clean.dtype


@pytest.mark.parametrize(
    ("snr", "bias"), [(0.0, 0.77), (0.5, 0.36), (1.0, 0.12), (1.5, 0.03), (3.0, 0.03), (8.0, 1e-3)]
)
def test_quadratic_has_the_stated_bias(snr, bias):
    noise = RicianNoise(SIGMA)
    magnitude = snr * SIGMA
    y, mass = _density_on_grid(magnitude, noise)
    target, precision = noise.quadratic(y)
    assert precision.shape == ()
    error = ((target - magnitude) * mass).sum().item()
    assert abs(error) < bias * SIGMA
    assert abs(error) < ((y - magnitude) * mass).sum().item()  # the raw magnitude is worse


def test_quadratic_bounds_the_curvature():
    """-d^2 log p / dm^2 <= w, with equality far from zero."""
    noise = RicianNoise(SIGMA)
    values = torch.linspace(0.05, 9, 40, dtype=torch.float64)
    y, m = values.repeat_interleave(40), values.repeat(40)
    m.requires_grad_()
    (score,) = torch.autograd.grad(noise.log_prob(y, m).sum(), m, create_graph=True)
    (curvature,) = torch.autograd.grad(score.sum(), m)
    _, precision = noise.quadratic(y)
    assert (-curvature <= precision + 1e-9).all()
    assert -curvature[-1] == pytest.approx(precision.item(), rel=0.01)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_refuses_level(value):
    with pytest.raises(ValueError, match="RicianNoise"):
        RicianNoise(value)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (_constant(1, -2), r"value -2.0 at \(1,\) is negative"),
        (_constant(math.nan), "is not finite"),
        (torch.tensor([1j]), "must be real"),
    ],
)
def test_check_refuses_what_is_no_magnitude(y, message):
    with pytest.raises(ValueError, match=message):
        RicianNoise(1).check(y)


def test_sample_refuses_complex(generator):
    with pytest.raises(ValueError, match="expected a real tensor"):
        RicianNoise(1).sample(torch.tensor([1j]), generator=generator)
