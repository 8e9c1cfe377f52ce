import math

import pytest
import torch

from invdiff.priors import GaussianMixturePrior
from invdiff.rng import derive_generator
from invdiff.samplers import Samples
from invdiff.theory import spacing_divergence

# standard errors
SIGNIFICANT = 4.5


def gaussian(mean, std):
    return GaussianMixturePrior(
        torch.ones(1).double(),
        torch.full((1, 1), mean).double(),
        torch.full((1, 1, 1), std**2).double(),
    )


def divergences(drawn, exact, count=2000, runs=12):
    return torch.tensor(
        [
            spacing_divergence(drawn.sample(count, generator=derive_generator(0, k)), exact)
            for k in range(runs)
        ]
    ).double()


@pytest.mark.parametrize(("count", "runs"), [(66, 200), (2000, 40)])
def test_exact_samples_are_at_zero_on_average(count, runs):
    values = divergences(gaussian(0.3, 2.0), gaussian(0.3, 2.0), count, runs)
    assert abs(values.mean()) < SIGNIFICANT * values.std() / runs**0.5
    assert count < 2000 or values.std() < 0.004


@pytest.mark.parametrize(("mean", "std"), [(0.5, 1.0), (0.0, 0.7), (1.0, 0.01), (0.2, 1e-6)])
def test_that_of_gaussians_is_the_closed_form(mean, std):
    values = divergences(gaussian(mean, std), gaussian(0.0, 1.0))
    exact = -math.log(std) + (std**2 + mean**2 - 1) / 2
    # the density is not constant over 64 of 2000 neighbours
    assert abs(float(values.mean()) - exact) < 0.02 + SIGNIFICANT * float(values.std()) / 12**0.5


def test_refuses_what_it_cannot_judge():
    exact, x = gaussian(0.0, 1.0), torch.linspace(-1, 1, 50).double().unsqueeze(1)
    for width in (0, 25):
        with pytest.raises(ValueError, match=f"width from 1 to half of 50 samples, got {width}"):
            spacing_divergence(x, exact, width)
    with pytest.raises(ValueError, match="expected equal weights"):
        spacing_divergence(Samples(x, x.squeeze(1).log_softmax(0)), exact)
    with pytest.raises(ValueError, match=r"expected samples \(N, 1\) .* got \(50, 2\)"):
        spacing_divergence(x.expand(50, 2), exact, 3)


def test_what_can_not_be_told_apart_is_infinitely_far():
    exact, x = gaussian(0.0, 1.0), torch.linspace(-1, 1, 50).double().unsqueeze(1)
    assert spacing_divergence(0 * x, exact, 3) == math.inf
    assert spacing_divergence(x + 50, exact, 3) == math.inf
