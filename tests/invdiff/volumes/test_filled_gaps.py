"""Missing slices between known ones, by a prior of single slices."""

from __future__ import annotations

import pytest
import torch

from invdiff.priors import AR1VolumePrior, GaussianPrior
from invdiff.rng import derive_generator
from invdiff.volumes import KnownSlices, SlicePrior, fill_gaps, gap_sampler, linear_between

MASK = torch.tensor([False, True, False, False, False, True, False, True, False])
NUM = len(MASK)


@pytest.fixture
def known(generator):
    values = torch.randn(NUM, 3, 4, generator=generator, dtype=torch.float64)
    return KnownSlices(MASK, torch.where(MASK[:, None, None], values, torch.nan))


def prior(std: float = 1.0) -> SlicePrior:
    mean = torch.zeros(3, 4, dtype=torch.float64)
    covariance = std**2 * torch.eye(12, dtype=torch.float64)
    return SlicePrior(GaussianPrior(mean, covariance, data_range=(-1.0, 1.0)), NUM)


def test_linear_slices_lie_on_lines(known):
    x, v = linear_between(known), known.values
    torch.testing.assert_close(x[MASK], v[MASK])
    torch.testing.assert_close(x[2], 0.75 * v[1] + 0.25 * v[5])
    torch.testing.assert_close(x[6], (v[5] + v[7]) / 2)
    torch.testing.assert_close(x[[0, -1]], v[[1, -2]])


def test_linear_is_the_conditional_mean_of_a_chain_that_hardly_changes(known):
    chain = AR1VolumePrior((NUM, 3, 4), 1 - 1e-7)
    mean = chain.conditional(MASK, known.values).mean
    torch.testing.assert_close(linear_between(known), mean, rtol=0, atol=1e-5)


def test_several_volumes_are_interpolated_each(known):
    two = KnownSlices(MASK, torch.stack([known.values, 2 * known.values]))
    torch.testing.assert_close(linear_between(two)[1], 2 * linear_between(known))


def test_known_slices_stay(known):
    x = fill_gaps(prior(), known, generator=derive_generator(0))
    torch.testing.assert_close(x[MASK], known.values[MASK])
    assert bool(x.isfinite().all())


def test_a_strong_coupling_is_linear_interpolation(known):
    sampler = gap_sampler(num_steps=8, strength=1e6)
    x = fill_gaps(prior(), known, generator=derive_generator(0), sampler=sampler)
    torch.testing.assert_close(x, linear_between(known), rtol=0, atol=1e-3)


def test_a_sure_prior_pulls_the_gap_to_its_mean(known):
    """Slices that hardly vary are 0, whatever is around them."""
    sampler = gap_sampler(num_steps=20, strength=0.01)
    x = fill_gaps(prior(std=0.01), known, generator=derive_generator(0), sampler=sampler)
    assert x[~MASK].norm() < 0.1 * linear_between(known)[~MASK].norm()


def test_refuses_a_volume_of_which_nothing_is_known():
    nothing = KnownSlices(torch.zeros(3, dtype=torch.bool), torch.zeros(3, 2, 2))
    with pytest.raises(ValueError, match="expected a known slice"):
        linear_between(nothing)
    whole = KnownSlices(torch.ones(3, dtype=torch.bool), torch.zeros(3, 2, 2, dtype=torch.long))
    with pytest.raises(ValueError, match=r"expected floating-point slices, got torch\.int64"):
        linear_between(whole)
    with pytest.raises(ValueError, match="finite strength >= 0, got inf"):
        gap_sampler(strength=float("inf"))
