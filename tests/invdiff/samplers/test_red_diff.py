import math
from functools import partial

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior, half_range
from invdiff.rng import derive_generator
from invdiff.samplers import RedDiff, snr_weight
from operators import FiniteDifferences, GaussianNoise, Mask
from tests.invdiff.samplers.affine_chains import (
    SIGMA_Y,
    compare,
    posterior,
    red_diff_chain,
    setting,
)

N = 6
LEVEL, WEIGHT, NOISE = 0.2, 5.0, 1.0


@pytest.fixture
def prior():
    distance = (torch.arange(N)[:, None] - torch.arange(N)).abs()
    return GaussianPrior(torch.zeros(N).double(), torch.exp(-distance / 2.0).double())


@pytest.fixture
def likelihood(prior, generator):
    operator = Mask(torch.tensor([True, True, False, True, False, True]))
    noise = GaussianNoise(NOISE)
    clean = operator(prior.sample(1, generator=generator)[0])
    return Likelihood(operator, noise, noise.sample(clean, generator=generator))


def fixed_point(prior, likelihood, weight):
    """Where the data's pull balances the prior's: the noise has mean 0 and D is linear."""
    half = half_range(prior)
    c = prior.covariance()
    eye = torch.eye(N).double()
    mask = likelihood.operator.mask.double()
    pull = weight / half**2 * (eye - c @ torch.linalg.inv(c + (half * LEVEL) ** 2 * eye))
    data = torch.diag(mask) / NOISE**2
    return torch.linalg.solve(data + pull, likelihood.weighted_adjoint)


@pytest.mark.parametrize("method", ["proximal", "sgd"])
@pytest.mark.parametrize(
    ("weighting", "dispersion"),
    [("constant", 0.0), ("linear", 0.0), ("inverse_square", 0.0), ("linear", 0.2)],
)
def test_settles_where_data_and_prior_balance(prior, likelihood, method, weighting, dispersion):
    """All is linear, so that a dispersion with mean 0 moves nothing on average."""
    f = snr_weight(weighting, torch.tensor(LEVEL)).item()
    weight = WEIGHT * f / LEVEL
    half = half_range(prior)
    rate = 0.1 / (half**2 / NOISE**2 + weight)
    optimizer = partial(torch.optim.SGD, lr=rate) if method == "sgd" else None
    sampler = RedDiff(
        num_steps=1500,
        sigma_max=LEVEL * (1 + 1e-6),
        sigma_min=LEVEL,
        weighting=weighting,
        regularization=WEIGHT,
        relaxation=0.01,
        dispersion=dispersion,
        optimizer=optimizer,
        clip=False,
    )
    samples = sampler.sample(likelihood, prior, 200, generator=derive_generator(0))
    expected = fixed_point(prior, likelihood, weight)
    standard_error = samples.std() / 200**0.5
    assert ((samples.mean() - expected).abs() < 4.5 * standard_error + 1e-3).all()


@pytest.mark.parametrize(
    "sampler",
    [
        RedDiff(20, clip=False),
        RedDiff(20, order="ascending", clip=False),
        RedDiff(20, dispersion=0.2, clip=False),
    ],
    ids=["default", "ascending", "dispersed"],
)
def test_is_the_chain_of_its_formulas(sampler):
    problem = setting()
    half = half_range(problem.prior)
    chains = [red_diff_chain(sampler, half, *c) for c in zip(problem.y, problem.level, strict=True)]
    samples = sampler.sample(problem.likelihood, problem.prior, 1500, generator=derive_generator(0))
    compare(samples.values, problem, chains)


def test_has_the_documented_spread():
    half = half_range(setting().prior)
    for level, expected in [(SIGMA_Y, 0.291), (math.inf, 0.331)]:
        ratio = (red_diff_chain(RedDiff(), half, 0.0, level).var / posterior(0.0, level).var) ** 0.5
        assert ratio == pytest.approx(expected, abs=6e-4)


def test_pinv_starts_from_the_data_alone(likelihood, prior):
    state = RedDiff(start="pinv").init(likelihood, prior, 2, generator=derive_generator(0))
    operator = likelihood.operator
    torch.testing.assert_close(state.mu[1], operator.V(likelihood.y))
    hidden = FiniteDifferences((N,))
    other = Likelihood(hidden, GaussianNoise(0.1), hidden(torch.zeros(N).double()))
    with pytest.raises(ValueError, match="known SVD, got FiniteDifferences"):
        RedDiff(start="pinv").init(other, prior, 2, generator=derive_generator(0))


def test_weightings_of_the_paper():
    s = torch.tensor([0.25, 4.0])
    expected = {
        "constant": [1.0, 1.0],
        "sqrt": [0.5, 2.0],
        "linear": [0.25, 4.0],
        "square": [0.0625, 16.0],
        "log": [0.22314355, 1.6094379],
        "clip": [0.25, 1.0],
        "inverse_square": [16.0, 0.0625],
    }
    for name, values in expected.items():
        torch.testing.assert_close(snr_weight(name, s), torch.tensor(values))


def test_clipping_keeps_the_denoised_image_in_range(prior, likelihood):
    bounded = GaussianPrior(prior.mean(), prior.covariance())
    bounded.data_range = (-0.1, 0.1)
    state = RedDiff().init(likelihood, bounded, 3, generator=derive_generator(0))
    _, info = RedDiff().step(state, torch.tensor(0.5), likelihood, bounded)
    assert info.denoised.abs().max() <= 0.1
    _, info = RedDiff(clip=False).step(state, torch.tensor(0.5), likelihood, bounded)
    assert info.denoised.abs().max() > 0.1


@pytest.mark.parametrize(
    "settings",
    [
        {"num_steps": 1},
        {"sigma_min": 0.0},
        {"sigma_max": 0.01},
        {"weighting": "cubic"},
        {"order": "upwards"},
        {"start": "zeros"},
        {"dispersion": -0.1},
        {"regularization": 0.0},
        {"relaxation": 1.5},
        {"num_cg": 0},
    ],
    ids=str,
)
def test_refuses_settings_out_of_range(settings):
    with pytest.raises(ValueError, match=r"RedDiff|sigmas"):
        RedDiff(**settings)
