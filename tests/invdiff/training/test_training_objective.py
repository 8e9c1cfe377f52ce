"""The denoising loss against Gaussian data, whose best denoiser is known."""

import math

import pytest
import torch
from scipy.stats import kstest

from invdiff.priors.preconditioning import EDM
from invdiff.rng import derive_generator
from invdiff.training import NoiseLevels, edm_loss

EDM_SCALE, SPREAD = 0.5, 0.2
LEVELS = NoiseLevels(-1.0, 0.8)
SHAPE = (4000, 1, 4, 4)
# of the mean of a squared normal over all pixels, 4.5 standard errors
TOLERANCE = 4.5 * math.sqrt(2 / math.prod(SHAPE))


def gaussian_data(spread):
    generator = derive_generator(0, "data")
    return spread * torch.randn(SHAPE, generator=generator, dtype=torch.float64)


def exact_output(scaled, noise_code):
    """F of the exact denoiser x t^2 / (t^2 + sigma^2), for data of spread t."""
    sigma = (4 * noise_code).exp().reshape(-1, 1, 1, 1)
    total = sigma**2 + EDM_SCALE**2
    x = scaled * total.sqrt()
    skipped = EDM_SCALE**2 / total * x
    return (SPREAD**2 / (SPREAD**2 + sigma**2) * x - skipped) * total.sqrt() / (sigma * EDM_SCALE)


def loss_of(network, spread, prediction="epsilon"):
    preconditioning = EDM(EDM_SCALE, prediction)
    return edm_loss(network, gaussian_data(spread), preconditioning, LEVELS, derive_generator(0))


def test_the_exact_denoiser_has_the_weighted_posterior_variance():
    sigma = LEVELS.sample(SHAPE[0], derive_generator(0))
    weight = (sigma**2 + EDM_SCALE**2) / (sigma * EDM_SCALE) ** 2
    expected = (weight * (sigma * SPREAD) ** 2 / (sigma**2 + SPREAD**2)).mean()
    torch.testing.assert_close(
        loss_of(exact_output, SPREAD), expected.double(), rtol=TOLERANCE, atol=0
    )


@pytest.mark.parametrize("offset", [-0.3, 0.1, 0.5])
def test_any_other_network_has_more_by_its_squared_distance(offset):
    # the weight undoes c_out, so that an error of F counts alike at every noise level
    best = loss_of(exact_output, SPREAD)
    other = loss_of(lambda x, time: exact_output(x, time) + offset, SPREAD)
    mean_error = 4.5 * 2 * abs(offset) / math.sqrt(math.prod(SHAPE))
    torch.testing.assert_close(other - best, torch.tensor(offset**2).double(), rtol=0,
                               atol=mean_error)  # fmt: skip
    assert other > best


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_a_silent_network_has_loss_1_for_data_of_the_assumed_spread(prediction):
    silent = loss_of(lambda x, time: torch.zeros_like(x), EDM_SCALE, prediction)
    torch.testing.assert_close(silent, torch.tensor(1.0).double(), rtol=0, atol=TOLERANCE)


def test_the_sign_of_the_output_is_that_of_the_preconditioning():
    flipped = loss_of(lambda x, time: -exact_output(x, time), SPREAD, "v_prediction")
    torch.testing.assert_close(flipped, loss_of(exact_output, SPREAD))


def test_noise_levels_are_log_normal():
    levels = NoiseLevels(-2.8, 1.4).sample(5000, derive_generator(1))
    assert levels.shape == (5000, 1, 1, 1)
    normal = (levels.flatten().double().log() + 2.8) / 1.4
    # a right distribution fails one seed in a thousand; this seed doesn't
    assert kstest(normal.numpy(), "norm").pvalue > 1e-3


def test_each_image_has_noise_and_level_of_its_own():
    seen = []

    def network(x, time):
        seen.extend([x, time])
        return torch.zeros_like(x)

    edm_loss(network, torch.zeros(6, 1, 4, 4), EDM(), LEVELS, derive_generator(2))
    noisy, time = seen
    assert len(time.unique()) == 6
    assert len(noisy.unique()) == noisy.numel()


@pytest.mark.parametrize("choice", [(0.0, 0.0), (0.0, -1.0), (math.nan, 1.0), (math.inf, 1.0)])
def test_refuses_levels_without_a_distribution(choice):
    with pytest.raises(ValueError, match="NoiseLevels"):
        NoiseLevels(*choice)
