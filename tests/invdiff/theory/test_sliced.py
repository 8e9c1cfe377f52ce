from __future__ import annotations

import pytest
import scipy.stats
import torch

from invdiff.samplers import Samples
from invdiff.theory import (
    max_sliced_wasserstein1,
    max_sliced_wasserstein2,
    mean_sliced_wasserstein2,
    wasserstein_1d,
)

SLICED = [max_sliced_wasserstein1, max_sliced_wasserstein2, mean_sliced_wasserstein2]


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_order_one_is_that_of_scipy(generator) -> None:
    x = torch.randn(37, 4, generator=generator, dtype=torch.float64)
    y = 2 * torch.randn(53, 4, generator=generator, dtype=torch.float64) + 0.3
    weights_x = torch.rand(37, generator=generator, dtype=torch.float64)
    weights_x[3] = 0
    weights_y = torch.rand(53, generator=generator, dtype=torch.float64)
    for weights in ((None, None), (weights_x, None), (weights_x, weights_y)):
        found = wasserstein_1d(x, y, 1, weights_x=weights[0], weights_y=weights[1])
        expected = [scipy.stats.wasserstein_distance(x[:, k], y[:, k], *weights) for k in range(4)]
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_order_two_of_equal_counts_pairs_sorted_samples(generator) -> None:
    x, y = torch.randn(2, 101, 3, generator=generator, dtype=torch.float64)
    expected = (x.sort(0).values - y.sort(0).values).square().mean(0).sqrt()
    torch.testing.assert_close(wasserstein_1d(x, y), expected)


def test_weights_are_repetitions(generator) -> None:
    x = torch.randn(5, 2, generator=generator, dtype=torch.float64)
    y = torch.randn(7, 2, generator=generator, dtype=torch.float64)
    counts = torch.tensor([1, 3, 0, 2, 4])
    repeated = wasserstein_1d(x.repeat_interleave(counts, dim=0), y)
    torch.testing.assert_close(wasserstein_1d(x, y, weights_x=counts), repeated)


@pytest.mark.parametrize("distance", SLICED)
def test_shift_is_its_length_along_the_direction(distance, generator) -> None:
    x = torch.randn(50, 2, 3, generator=generator, dtype=torch.float64)
    shift = torch.zeros(2, 3, dtype=torch.float64)
    shift[1, 2] = 2.0
    directions = torch.randn(40, 6, generator=_seeded(), dtype=torch.float64)
    along = 2 * (directions[:, 5] / directions.norm(dim=1)).abs()
    expected = along.square().mean().sqrt() if "mean" in distance.__name__ else along.max()
    found = distance(x, x + shift, 40, generator=_seeded())
    assert found == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("distance", SLICED)
def test_chunks_of_directions_change_nothing(distance, generator, monkeypatch) -> None:
    x, y = torch.randn(2, 30, 4, generator=generator)
    whole = distance(x, y, 9, generator=_seeded())
    monkeypatch.setattr("invdiff.theory.sliced._CHUNK", 4)
    # float64 products of other shapes round differently
    assert distance(x, y, 9, generator=_seeded()) == pytest.approx(whole, rel=1e-12)


def test_gaussians_come_near_their_closed_form() -> None:
    generator = _seeded()
    x = torch.randn(10000, 2, generator=generator)
    y = 1.5 * torch.randn(10000, 2, generator=generator) + torch.tensor([1.0, 0.0])
    # along theta the distance is (theta_1^2 + 0.5^2)^1/2, whose mean square is 0.75
    found = mean_sliced_wasserstein2(x, y, 200, generator=generator)
    assert found == pytest.approx(0.75**0.5, abs=0.06)  # of 200 directions
    assert max_sliced_wasserstein2(x, y, 200, generator=generator) == pytest.approx(
        1.25**0.5,
        abs=0.03,  # of 10000 samples
    )


@pytest.mark.parametrize("distance", SLICED)
def test_refuses_what_does_not_fit(distance, generator) -> None:
    x = torch.zeros(4, 2)
    with pytest.raises(ValueError, match="sliced Wasserstein"):
        distance(x, torch.zeros(4, 3), generator=generator)
    with pytest.raises(ValueError, match="weights"):
        distance(x, x, generator=generator, weights_x=torch.ones(3))
    with pytest.raises(ValueError, match="weights"):
        distance(x, x, generator=generator, weights_x=torch.tensor([1.0, 1.0, -1.0, 1.0]))


@pytest.mark.parametrize("distance", SLICED)
def test_samples_bring_their_weights(distance, generator) -> None:
    x = torch.randn(30, 2, 3, generator=generator, dtype=torch.float64)
    y = torch.randn(20, 2, 3, generator=generator, dtype=torch.float64)
    log_weights = torch.randn(30, generator=generator, dtype=torch.float64).log_softmax(0)
    samples = Samples(x, log_weights)
    expected = distance(x, y, 9, generator=_seeded(), weights_x=log_weights.exp())
    assert distance(samples, y, 9, generator=_seeded()) == pytest.approx(expected, rel=1e-12)
    assert distance(y, samples, 9, generator=_seeded()) == pytest.approx(expected, rel=1e-12)
    assert distance(x, y, 9, generator=_seeded()) != pytest.approx(expected, rel=1e-2)
    with pytest.raises(ValueError, match="weights of their own"):
        distance(samples, y, generator=generator, weights_x=log_weights.exp())
    two = Samples(x.unsqueeze(1), log_weights[:, None])
    with pytest.raises(ValueError, match="expected one problem"):
        distance(two, y.unsqueeze(1), generator=generator)
