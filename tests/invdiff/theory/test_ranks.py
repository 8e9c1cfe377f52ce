from dataclasses import dataclass

import pytest
import scipy.stats
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior
from invdiff.samplers import Samples
from invdiff.theory import rank_counts, rank_statistics, simulated_ranks, uniformity_p_value
from operators import GaussianNoise, Mask


@dataclass(frozen=True)
class Exact:
    """Draws from the posterior, spread about its mean by a factor and shifted by sds."""

    spread: float = 1.0
    shift: float = 0.0

    def sample(self, likelihood, denoiser, num_samples, *, generator, callback=None):
        draws = []
        for y in likelihood.y:
            one = denoiser.posterior(Likelihood(likelihood.operator, likelihood.noise, y))
            offset = one.sample(num_samples, generator=generator) - one.mean()
            draws.append(one.mean() + self.spread * offset + self.shift * offset.std())
        values = torch.stack(draws, 1)
        return Samples(values, torch.zeros(values.shape[:2]).log_softmax(0))


def _ranks(sampler, generator, num_samples=31):
    # pixels that are independent, so that all of their ranks are
    prior = GaussianPrior(torch.zeros(2, 3, dtype=torch.float64), 1.0)
    operator = Mask(torch.tensor([[True, False, True], [True, True, True]]))
    return simulated_ranks(
        prior,
        operator,
        GaussianNoise(0.5),
        sampler,
        num_problems=150,
        num_samples=num_samples,
        generator=generator,
    )


def test_exact_posterior_has_uniform_ranks(generator) -> None:
    ranks = _ranks(Exact(), generator)
    assert ranks.shape == (150, 2, 3)
    assert uniformity_p_value(ranks, 31) > 1e-3


@pytest.mark.parametrize("sampler", [Exact(spread=0.7), Exact(spread=1.4), Exact(shift=0.3)])
def test_wrong_posteriors_are_refuted(sampler, generator) -> None:
    assert uniformity_p_value(_ranks(sampler, generator), 31) < 1e-4


def test_ranks_count_what_is_below() -> None:
    samples = torch.tensor([[0.0, 5.0], [2.0, 6.0], [4.0, 7.0]])
    ranks = rank_statistics(torch.tensor([3.0, 1.0]), samples, generator=torch.Generator())
    assert ranks.tolist() == [2, 0]


def test_ties_are_uniform(generator) -> None:
    truths = torch.zeros(4000)
    ranks = rank_statistics(truths, torch.zeros(3, 4000), generator=generator)
    assert uniformity_p_value(ranks, 3) > 1e-3


def test_counts_and_p_value_are_those_of_scipy(generator) -> None:
    ranks = torch.randint(0, 10, (500,), generator=generator)
    counts, expected = rank_counts(ranks, 9, 4)
    assert counts.sum() == 500
    # ranks 0-2, 3-4, 5-7, 8-9
    torch.testing.assert_close(expected, torch.tensor([150, 100, 150, 100]).double())
    exact = scipy.stats.chisquare(counts.numpy(), expected.numpy()).pvalue
    assert uniformity_p_value(ranks, 9, 4) == pytest.approx(exact)


def test_p_values_are_uniform_themselves(generator) -> None:
    draws = torch.randint(0, 20, (300, 200), generator=generator)
    p = [uniformity_p_value(row, 19) for row in draws]
    assert scipy.stats.kstest(p, "uniform").pvalue > 1e-3


def test_refusals(generator) -> None:
    truths, samples = torch.zeros(4), torch.zeros(3, 4)
    with pytest.raises(ValueError, match="need samples"):
        rank_statistics(truths, samples[:, :3], generator=generator)
    weights = torch.tensor([0.0, 1.0, 2.0]).unsqueeze(1).expand(3, 4)
    with pytest.raises(ValueError, match="resample first"):
        rank_statistics(truths, Samples(samples, weights), generator=generator)
    with pytest.raises(ValueError, match="ranks: expected"):
        rank_counts(torch.tensor([4]), 3, 2)
    with pytest.raises(ValueError, match="too few"):
        uniformity_p_value(torch.zeros(9).long(), 3)
