import math

import pytest
import torch
from scipy.integrate import quad
from scipy.stats import spearmanr

from invdiff.samplers import Samples
from invdiff.uncertainty import crps, spread_error_correlation, z_scores


def pairwise(values, truth, weights, correction=1.0):
    """The definition, with a matrix of all pairs."""
    error = (weights * (values - truth).abs()).sum()
    spread = (weights[:, None] * weights * (values[:, None] - values).abs()).sum()
    return (error - spread / (2 * correction)).item()


def test_crps_is_the_double_sum(generator):
    values = torch.randn(7, 3, 2, 2, generator=generator, dtype=torch.float64)
    truth = torch.randn(3, 2, 2, generator=generator, dtype=torch.float64)
    log_weights = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    weights = log_weights.softmax(0)
    correction = 1 - (weights**2).sum(0)
    for pixel in [(0, 0, 0), (2, 1, 0)]:
        v, t, w = values[(slice(None), *pixel)], truth[pixel], weights[:, pixel[0]]
        ours = crps(values, truth, log_weights)[pixel].item()
        assert ours == pytest.approx(pairwise(v, t, w), rel=1e-12)
        fair = crps(values, truth, log_weights, fair=True)[pixel].item()
        assert fair == pytest.approx(pairwise(v, t, w, correction[pixel[0]]), rel=1e-12)
        equal = crps(values, truth)[pixel].item()
        assert equal == pytest.approx(pairwise(v, t, torch.full((7,), 1 / 7)), rel=1e-6)


def test_crps_is_the_integral_over_the_distribution_function():
    values = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64)
    weights = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)

    def integrand(u):
        below = weights[values <= u].sum().item()
        return (below - (u >= 1.7)) ** 2

    expected, _ = quad(integrand, -1, 4, points=[0, 1, 1.7, 3])
    ours = crps(values[:, None, None], torch.tensor(1.7, dtype=torch.float64), weights.log())
    assert ours.item() == pytest.approx(expected, rel=1e-9)


def test_fair_crps_does_not_depend_on_the_number_of_samples(generator):
    draws = torch.randn(41, 500, 200, generator=generator)
    # of the standard normal against itself: 1 / sqrt(pi)
    for num_samples in (2, 40):
        fair = crps(draws[1 : num_samples + 1], draws[0], fair=True).mean().item()
        # 4.5 standard errors of 100000 pixels whose score deviates by less than 0.7
        assert fair == pytest.approx(1 / math.sqrt(math.pi), abs=0.01)
    assert crps(draws[1:3], draws[0]).mean().item() > 1 / math.sqrt(math.pi) + 0.1


def test_crps_of_one_sample_is_the_absolute_error():
    ours = crps(torch.tensor([[[2.0, -1.0]]]), torch.zeros(1, 2))
    torch.testing.assert_close(ours, torch.tensor([[2.0, 1.0]]).double())
    with pytest.raises(ValueError, match="at least 2"):
        crps(torch.zeros(1, 2, 2), torch.zeros(2, 2), fair=True)


def test_z_scores_are_standard_normal_of_a_truth_that_is(generator):
    draws = torch.randn(65, 300, 300, generator=generator)
    z = z_scores(draws[1:], draws[0])
    assert z.mean().item() == pytest.approx(0, abs=4.5 / 300)
    # variance of Student's t with 63 degrees of freedom, times 1 + 1/64; 4.5 standard errors
    assert z.var().item() == pytest.approx(63 / 61 * 65 / 64, abs=4.5 * math.sqrt(2.4) / 300)


def test_z_scores_of_samples_that_agree():
    values = torch.ones(3, 1, 2)
    assert z_scores(values, torch.tensor([[1.0, 2.0]])).tolist() == [[0.0, math.inf]]


def test_complex_images_count_by_magnitude(generator):
    values = torch.randn(9, 4, 4, generator=generator, dtype=torch.complex64)
    truth = torch.randn(4, 4, generator=generator, dtype=torch.complex64)
    torch.testing.assert_close(z_scores(values, truth), z_scores(values.abs(), truth.abs()))
    torch.testing.assert_close(crps(values, truth), crps(values.abs(), truth.abs()))


def test_correlation_is_that_of_scipy_within_the_mask(generator):
    scale = torch.rand(8, 8, generator=generator)
    values = scale * torch.randn(32, 8, 8, generator=generator)
    truth = scale * torch.randn(8, 8, generator=generator)
    samples = Samples(values, torch.zeros(32))
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[2:] = True
    error = (truth - values.mean(0)).abs()
    expected = spearmanr(values.std(0)[2:].ravel(), error[2:].ravel()).statistic
    ours = spread_error_correlation(samples, truth, mask)
    assert ours == pytest.approx(float(expected), abs=1e-6)
    assert ours > 0.3
    with pytest.raises(ValueError, match="differ"):
        spread_error_correlation(torch.ones(3, 4, 4), torch.zeros(4, 4))
