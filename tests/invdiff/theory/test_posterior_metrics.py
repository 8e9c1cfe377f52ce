"""Metrics against the exact posterior: right on exact samples, alarmed by wrong ones."""

import math

import pytest
import scipy.stats
import torch

from invdiff.priors import (
    GaussianMixturePrior,
    GaussianPrior,
    SharedCovarianceMixture,
    SubspacePrior,
)
from invdiff.samplers import Samples
from invdiff.theory import (
    c2st,
    cdf,
    evidence_error,
    exact_std,
    marginal,
    mean_error_floor,
    mean_error_in_sd,
    mode_weight_error,
    mode_weights,
    quantiles,
    std_ratio,
)

WEIGHTS = torch.tensor([0.2, 0.5, 0.3]).double()


def _normal(generator, *shape):
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _equal(values):
    return Samples(values, torch.zeros(len(values)).log_softmax(0))


@pytest.fixture(params=["general", "shared", "subspace"])
def mixture(request, generator):
    means = 6 * torch.eye(3, 4).double()
    factor = _normal(generator, 3, 4, 4) / 2
    if request.param == "general":
        return GaussianMixturePrior(WEIGHTS, means.reshape(3, 2, 2), factor @ factor.mT)
    shared = SharedCovarianceMixture(WEIGHTS, means, factor[0] @ factor[0].mT)
    if request.param == "shared":
        return shared
    basis = torch.linalg.qr(_normal(generator, 6, 4)).Q
    return SubspacePrior(_normal(generator, 2, 3), basis, shared)


def test_mode_weights_of_exact_samples_are_the_weights(mixture, generator) -> None:
    count = 5000
    x = mixture.sample(count, generator=generator)
    error = (mode_weights(x, mixture) - WEIGHTS).abs()
    assert (error < 4.5 * (WEIGHTS * (1 - WEIGHTS) / count).sqrt()).all()
    floor = float((WEIGHTS * (1 - WEIGHTS) / (2 * math.pi * count)).sqrt().sum())
    assert mode_weight_error(x, mixture) < 3 * floor


def test_a_lost_mode_is_its_weight(mixture, generator) -> None:
    x = mixture.sample(4000, generator=generator)
    mode = mixture.responsibilities(x).argmax(1)
    # the modes are 8 apart: what is left divides the weight of the lost one
    kept = _equal(x[mode != 0])
    assert mode_weight_error(kept, mixture) == pytest.approx(0.2, abs=0.03)
    log_weights = torch.where(mode == 0, -math.inf, 0.0)
    weighted = Samples(x, log_weights.log_softmax(0))
    torch.testing.assert_close(mode_weights(weighted, mixture), mode_weights(kept, mixture))


def test_c2st_accepts_equal_and_detects_unequal_distributions(generator) -> None:
    count = 250
    x, y = _normal(generator, count, 2), _normal(generator, count, 2)
    floor = 1 / (8 * count) ** 0.5
    assert abs(c2st(x, y, generator=generator) - 0.5) < 4 * floor
    assert c2st(x, 0.5 * y, generator=generator) > 0.5 + 4 * floor
    # the best classifier of a shift by 2 is right with probability Phi(1)
    shifted = c2st(x, y + torch.tensor([2.0, 0.0]), generator=generator)
    assert shifted == pytest.approx(float(scipy.stats.norm.cdf(1)), abs=4 * floor)
    assert c2st(x, y + 20, generator=generator) == 1


def test_c2st_is_reproducible_and_leaves_global_randomness_alone(generator) -> None:
    x, y = _normal(generator, 30, 2), _normal(generator, 40, 2)
    state = torch.random.get_rng_state()
    runs = [c2st(x, y, generator=torch.Generator().manual_seed(5)) for _ in range(2)]
    assert runs[0] == runs[1]
    assert torch.equal(state, torch.random.get_rng_state())
    with pytest.raises(ValueError, match="folds"):
        c2st(x, y, generator=generator, num_folds=31)


def test_exact_samples_are_at_the_floor_and_wrong_ones_are_not(generator) -> None:
    factor = _normal(generator, 4, 4)
    exact = GaussianPrior(_normal(generator, 2, 2), factor @ factor.mT)
    std, mean, count = exact_std(exact), exact.mean(), 400
    torch.testing.assert_close(std.flatten() ** 2, torch.diagonal(exact.covariance()))
    samples = _equal(exact.sample(count, generator=generator))
    assert mean_error_floor(samples) == pytest.approx(count**-0.5)
    assert std_ratio(samples, std) == pytest.approx(1, abs=4.5 / (2 * count) ** 0.5)
    # a chi-square of 4 correlated pixels
    assert mean_error_in_sd(samples, mean, std) < 4.5 * count**-0.5
    narrow = _equal(mean + 0.7 * (samples.values - mean) + 0.5 * std)
    assert std_ratio(narrow, std) == pytest.approx(0.7 * std_ratio(samples, std))
    assert mean_error_in_sd(narrow, mean, std) == pytest.approx(0.5, abs=0.1)


def test_masks_and_weights_count(generator) -> None:
    values = torch.tensor([[0.0, 1.0], [4.0, 1.0]]).double()
    samples = Samples(values, torch.tensor([0.75, 0.25]).log())
    mask = torch.tensor([True, False])
    one, zero = torch.ones(2).double(), torch.zeros(2).double()
    assert mean_error_in_sd(samples, zero, one, mask) == pytest.approx(1)
    assert mean_error_in_sd(samples, zero, one) == pytest.approx(1)
    # variance 3, divided by 1 - 0.75^2 - 0.25^2
    assert std_ratio(samples, one, mask) == pytest.approx((3 / 0.375) ** 0.5, rel=1e-6)
    assert mean_error_floor(samples) == pytest.approx(0.625**0.5)


def test_evidence_error_of_a_log_normal_estimate(generator) -> None:
    spread, count = 0.3, 20000
    # unbiased for Z = e^2
    estimates = 2 - spread**2 / 2 + spread * _normal(generator, count)
    found = evidence_error(estimates, 2.0)
    assert found.bias == pytest.approx(-(spread**2) / 2, abs=4.5 * spread / count**0.5)
    assert found.std == pytest.approx(spread, rel=4.5 / (2 * count) ** 0.5)
    assert abs(found.ratio - 1) < 4.5 * found.ratio_error
    assert found.ratio_error == pytest.approx(
        (math.exp(spread**2) - 1) ** 0.5 / count**0.5, rel=0.05
    )
    with pytest.raises(ValueError, match="at least 2"):
        evidence_error(estimates[:1], 2.0)


def test_marginals_are_those_of_the_samples(mixture, generator) -> None:
    n = mixture.mean().numel()
    matrix = _normal(generator, 2, n)
    found = marginal(mixture, matrix)
    torch.testing.assert_close(found.mean(), matrix @ mixture.mean().flatten())
    torch.testing.assert_close(found.covariance(), matrix @ mixture.covariance() @ matrix.mT)
    line = marginal(mixture, matrix[:1])
    x = mixture.sample(3000, generator=generator).flatten(1) @ matrix[0]
    result = scipy.stats.kstest(x.numpy(), lambda u: cdf(line, torch.as_tensor(u)).numpy())
    assert result.pvalue > 1e-4
    wrong = scipy.stats.kstest(1.2 * x.numpy(), lambda u: cdf(line, torch.as_tensor(u)).numpy())
    assert wrong.pvalue < 1e-4


def test_quantiles_invert_the_distribution_function() -> None:
    line = GaussianMixturePrior(
        WEIGHTS, torch.tensor([[-30.0], [0.0], [5.0]]).double(), torch.ones(3, 1, 1).double()
    )
    p = torch.tensor([1e-6, 0.1, 0.5, 0.69, 0.999]).double()
    torch.testing.assert_close(cdf(line, quantiles(line, p)), p, rtol=1e-9, atol=0)
    gauss = GaussianPrior(torch.tensor([2.0]).double(), 9.0)
    torch.testing.assert_close(quantiles(gauss, p), 2 + 3 * torch.special.ndtri(p))
    with pytest.raises(ValueError, match="strictly"):
        quantiles(line, torch.tensor([0.0]))
    with pytest.raises(ValueError, match="mixture of shape"):
        cdf(GaussianPrior(torch.zeros(2), 1.0), p)
    with pytest.raises(ValueError, match="expected a matrix"):
        marginal(line, torch.ones(1, 2))
