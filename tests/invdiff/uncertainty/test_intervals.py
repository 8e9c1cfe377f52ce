import numpy as np
import pytest
import torch

from invdiff.samplers import Samples
from invdiff.uncertainty import (
    coverage,
    coverage_curve,
    credible_interval,
    weighted_quantiles,
)


def test_equal_weights_give_the_quantiles_of_weibull(generator):
    values = torch.randn(17, 2, 5, 6, generator=generator, dtype=torch.float64)
    probabilities = [0.0, 0.05, 0.1, 0.37, 0.5, 0.9, 1.0]
    expected = np.quantile(values.numpy(), probabilities, axis=0, method="weibull")
    ours = weighted_quantiles(values, probabilities)
    torch.testing.assert_close(ours, torch.from_numpy(expected))


def test_whole_weights_change_nothing_but_the_effective_number(generator):
    # each sample k times has the same distribution function, seen with the same effective number
    values = torch.randn(6, 4, 4, generator=generator, dtype=torch.float64)
    thirds = torch.full((18,), 1 / 18, dtype=torch.float64)
    thirds[::3], thirds[1::3], thirds[2::3] = 1 / 6, 0, 0
    repeated = values.repeat_interleave(3, 0)
    ours = weighted_quantiles((repeated, thirds.log()), [0.1, 0.6])
    torch.testing.assert_close(ours, weighted_quantiles(values, [0.1, 0.6]))


def test_a_sample_of_next_to_no_weight_has_no_influence(generator):
    values = torch.randn(9, 4, 4, generator=generator, dtype=torch.float64)
    outlier = torch.cat([values, torch.full((1, 4, 4), 1e3, dtype=torch.float64)])
    log_weights = torch.cat([torch.zeros(9), torch.tensor([-60.0])]).double()
    expected = weighted_quantiles(values, [0.02, 0.5, 0.98])
    torch.testing.assert_close(
        weighted_quantiles((outlier, log_weights), [0.02, 0.5, 0.98]), expected
    )


def test_weights_belong_to_their_problem_and_sample(generator):
    values = torch.randn(5, 2, 3, 3, generator=generator)
    log_weights = torch.full((5, 2), -torch.inf)
    log_weights[1, 0] = log_weights[4, 1] = 0
    lower, upper = credible_interval(Samples(values, log_weights), 0.9)
    expected = torch.stack([values[1, 0], values[4, 1]])
    torch.testing.assert_close(lower, expected)
    torch.testing.assert_close(upper, expected)


def test_a_truth_among_its_samples_is_held_as_often_as_stated(generator):
    draws = torch.randn(20, 400, 400, generator=generator)
    levels = [0.1, 0.5, 0.9]
    curve = coverage_curve(draws[1:], draws[0], levels)
    # 160000 independent pixels: 4.5 standard errors of a frequency are below 0.006, and
    # the interval ends at order statistics: (N + 1)(1 - level) / 2 is whole
    torch.testing.assert_close(curve, torch.tensor(levels).double(), atol=0.006, rtol=0)


def test_weighted_samples_of_another_distribution_cover_as_stated(generator):
    truth = torch.randn(120, 120, generator=generator)
    proposals = 1.5 * torch.randn(200, 120, 120, generator=generator)
    log_weights = -(proposals**2) / 2 * (1 - 1 / 1.5**2)
    # one weight per sample and problem: every pixel is a problem of a one-pixel image
    samples = proposals[..., None, None], log_weights
    (hit,) = coverage_curve(samples, truth[..., None, None], [0.9]).mean((1, 2))
    # 4.5 standard errors over 14400 pixels, and a bias of self-normalised weights of order 1/N
    assert float(hit) == pytest.approx(0.9, abs=0.0113 + 1 / 200)


def test_coverage_counts_ends_within_the_mask():
    lower, upper = torch.zeros(2, 2, 2), torch.ones(2, 2, 2)
    truth = torch.tensor([[0.0, 1.0], [2.0, -1.0]])
    assert coverage(lower, upper, truth).tolist() == [0.5, 0.5]
    mask = torch.tensor([[True, True], [True, False]])
    assert coverage(lower, upper, truth, mask).tolist() == pytest.approx([2 / 3, 2 / 3])
    assert coverage(lower, upper, truth, dim=(0, 1, 2)).item() == 0.5


def test_complex_samples_are_taken_as_magnitudes(generator):
    values = torch.randn(9, 4, 4, generator=generator, dtype=torch.complex64)
    lower, upper = credible_interval(values, 0.5)
    expected = credible_interval(values.abs(), 0.5)
    torch.testing.assert_close((lower, upper), expected)
    assert coverage(lower, upper, -upper.to(values.dtype)).item() == 1


def test_keeps_the_dtype_and_refuses_what_is_no_level(generator):
    values = torch.randn(9, 4, 4, generator=generator)
    assert credible_interval(values, 0.5)[0].dtype == torch.float32
    with pytest.raises(ValueError, match="level"):
        credible_interval(values, 1.0)
    with pytest.raises(ValueError, match="probabilities"):
        weighted_quantiles(values, [1.2])
    with pytest.raises(ValueError, match="log weights"):
        credible_interval((values, torch.zeros(8)), 0.5)
