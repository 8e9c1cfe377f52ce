import math

import pytest
import torch

from invdiff.interpolants import BestOfN
from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianMixturePrior
from invdiff.rng import derive_generator
from invdiff.theory.marginals import cdf
from operators import GaussianNoise, Matrix

# standard errors
SIGNIFICANT = 4.5


@pytest.fixture
def line():
    weights, means = torch.tensor([0.6, 0.4]), torch.tensor([-1.0, 1.2]).unsqueeze(1)
    covariances = torch.tensor([0.25, 0.16]).reshape(2, 1, 1)
    return GaussianMixturePrior(weights.double(), means.double(), covariances.double())


@pytest.fixture
def likelihood():
    y = torch.tensor([0.4]).double()
    return Likelihood(Matrix(torch.eye(1).double()), GaussianNoise(1.0), y)


def below(line, likelihood, x):
    """Return the share of the prior of a lower reward, which is farther from the datum."""
    distance = (x - likelihood.y).abs()
    return 1 - cdf(line, likelihood.y + distance) + cdf(line, likelihood.y - distance)


@pytest.mark.parametrize("number", [1, 2, 8])
def test_the_divergence_from_the_prior_is_that_of_the_best_of_n(line, likelihood, number):
    sampler, count = BestOfN(101 * number, 100), 3000
    assert sampler.num_draws == number
    x = sampler.sample(likelihood, line, count, generator=derive_generator(0)).values.squeeze(1)
    ratio = math.log(number) + (number - 1) * below(line, likelihood, x).log()
    exact = math.log(number) - (number - 1) / number
    # the logarithm of the largest of N uniform numbers has the standard deviation 1 / N
    error = (number - 1) / number / count**0.5
    assert abs(float(ratio.mean()) - exact) <= SIGNIFICANT * error + 1e-12
    # uniform for the largest of N to the power of N
    assert (
        abs(float((below(line, likelihood, x) ** number).mean()) - 0.5)
        < SIGNIFICANT * (1 / 12 / count) ** 0.5
    )


def test_more_draws_begin_with_the_same_and_are_better(line, likelihood):
    few, many = (
        BestOfN(11 * n).sample(likelihood, line, 50, generator=derive_generator(0)) for n in (3, 12)
    )
    assert (many.info["reward"] >= few.info["reward"]).all()
    assert (many.info["reward"] > few.info["reward"]).any()
    assert (many.values == few.values).any()
    assert (few.info["num_calls"], many.info["num_calls"]) == (33, 132)
    torch.testing.assert_close(few.info["reward"], likelihood.log_prob(few.values))


def test_a_sample_does_not_depend_on_the_others(line, likelihood):
    one, five = (
        BestOfN(44).sample(likelihood, line, n, generator=derive_generator(0)).values
        for n in (1, 5)
    )
    torch.testing.assert_close(five[:1], one)


def test_the_callback_sees_the_best_so_far(line, likelihood):
    seen = []
    samples = BestOfN(44).sample(
        likelihood, line, 5, generator=derive_generator(0), callback=seen.append
    )
    rewards = torch.stack([likelihood.log_prob(p.image) for p in seen])
    assert [p.step for p in seen] == [0, 1, 2, 3]
    assert (rewards.diff(dim=0) >= 0).all()
    torch.testing.assert_close(rewards[-1], samples.info["reward"])


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"max_calls": 10}, "max_calls > num_steps, got 10 and 10"),
        ({"num_steps": 0}, "num_steps >= 1"),
        ({"max_calls": math.nan}, "got 10 and nan"),
        ({"noise_scale": math.inf}, "BestOfN: expected a finite noise_scale >= 0, got inf"),
    ],
)
def test_refuses_what_does_not_fit(choice, message):
    with pytest.raises(ValueError, match=message):
        BestOfN(**choice)
