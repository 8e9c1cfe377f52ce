"""The binary symmetric channel: probabilities, and a surrogate that is exact at 0 and 1."""

import math

import pytest
import torch

from operators.noise import BinarySymmetricNoise

DRAWS = 40_000
ERRORS = 4.5
Q = 0.15


def constant(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_draws_have_the_probabilities_of_the_channel(generator):
    clean = constant(0.0, 0.3, 1.0)
    draws = BinarySymmetricNoise(Q).sample(clean.expand(DRAWS, 3), generator=generator)
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    chance = Q + (1 - 2 * Q) * clean
    error = (chance * (1 - chance) / DRAWS).sqrt()
    assert ((draws.mean(0) - chance).abs() < ERRORS * error).all()


def test_draws_follow_the_generator():
    clean = torch.rand(50, generator=torch.Generator().manual_seed(9))
    noise = BinarySymmetricNoise(Q)
    draws = [noise.sample(clean, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert draws[0].dtype == clean.dtype


def test_masses_sum_to_one_and_are_those_of_the_channel():
    noise, clean = BinarySymmetricNoise(Q), constant(0.0, 0.4, 1.0)
    no, yes = (noise.log_prob(torch.full_like(clean, v), clean).exp() for v in (0.0, 1.0))
    torch.testing.assert_close(yes, constant(Q, Q + 0.4 * (1 - 2 * Q), 1 - Q))
    torch.testing.assert_close(no + yes, torch.ones_like(clean))


@pytest.mark.parametrize("q", [1e-3, 1e-6, 1e-9])
def test_rare_errors_keep_their_masses_in_single_precision(q):
    y, clean = torch.tensor([0.0, 1.0, 0.0, 1.0]), torch.tensor([1.0, 0.0, 0.0, 1.0])
    expected = torch.tensor([math.log(q)] * 2 + [math.log1p(-q)] * 2)
    found = BinarySymmetricNoise(q).log_prob(y, clean)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def test_score_is_the_derivative_and_vanishes_outside():
    clean = constant(-0.2, 0.4, 0.4, 1.3).requires_grad_()
    log_prob = BinarySymmetricNoise(Q).log_prob(constant(1, 1, 0, 0), clean)
    (score,) = torch.autograd.grad(log_prob.sum(), clean)
    slope, chance = 1 - 2 * Q, Q + 0.4 * (1 - 2 * Q)
    torch.testing.assert_close(score, constant(0, slope / chance, -slope / (1 - chance), 0))
    torch.testing.assert_close(log_prob[0].exp().item(), Q)


@pytest.mark.parametrize("q", [0.01, 0.15, 0.49])
def test_quadratic_has_an_unbiased_score(q):
    target, precision = BinarySymmetricNoise(q).quadratic(constant(0.0, 1.0))
    assert precision.shape == ()
    for clean in (0.0, 0.3, 1.0):
        chance = q + (1 - 2 * q) * clean
        score = precision * (constant(1 - chance, chance) * (target - clean)).sum()
        assert abs(score) < 1e-12


@pytest.mark.parametrize("q", [0.01, 0.15, 0.49])
def test_quadratic_has_the_exact_log_odds_of_zero_and_one(q):
    noise, y = BinarySymmetricNoise(q), constant(0.0, 1.0)
    target, precision = noise.quadratic(y)
    energies = [precision * (target - clean) ** 2 / 2 for clean in (0.0, 1.0)]
    exact = noise.log_prob(y, torch.ones_like(y)) - noise.log_prob(y, torch.zeros_like(y))
    torch.testing.assert_close(energies[0] - energies[1], exact)


def test_quadratic_has_the_exact_posterior_of_a_binary_prior(generator):
    noise, q = BinarySymmetricNoise(Q), Q
    values = constant(0.0, 1.0)
    states = torch.cartesian_prod(values, values, values)
    mass = torch.rand(8, generator=generator, dtype=torch.float64)
    y = constant(1.0, 0.0, 1.0)
    target, precision = noise.quadratic(y)
    found = mass * (-precision * (target - states) ** 2 / 2).sum(-1).exp()
    exact = mass * torch.where(states == y, 1 - q, q).prod(-1)
    torch.testing.assert_close(found / found.sum(), exact / exact.sum())


def test_quadratic_counts_less_than_the_variance_would():
    _, precision = BinarySymmetricNoise(0.1).quadratic(constant(0.0))
    ratio = 0.8**2 / 0.09 / precision
    assert float(ratio) == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("value", [0.0, 0.5, -0.1, math.nan])
def test_refuses_a_probability(value):
    with pytest.raises(ValueError, match="flip_probability must be between"):
        BinarySymmetricNoise(value)


@pytest.mark.parametrize("value", [0.5, -1.0, 2.0, math.nan, math.inf])
def test_check_names_value_and_position(value):
    with pytest.raises(ValueError, match=rf"value {value} at \(1,\) is neither 0 nor 1"):
        BinarySymmetricNoise(Q).check(constant(0.0, value))
    BinarySymmetricNoise(Q).check(constant(0.0, 1.0))


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, 1j])
def test_sample_refuses_what_is_no_probability(value, generator):
    with pytest.raises(ValueError, match="BinarySymmetricNoise"):
        BinarySymmetricNoise(Q).sample(torch.tensor([value]), generator=generator)
