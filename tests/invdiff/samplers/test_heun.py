import itertools
import math

import pytest
import torch

from invdiff.priors import GaussianMixturePrior, GaussianPrior, half_range
from invdiff.rng import derive_generator
from invdiff.samplers import HeunSampler, heun_step, karras_sigmas


@pytest.fixture
def prior():
    covariance = torch.tensor([[0.5, 0.2], [0.2, 0.3]]).double()
    return GaussianPrior(torch.tensor([1.0, -1.0]).double(), covariance)


def flow(prior, x, sigma, sigma_end):
    """The exact probability flow of a Gaussian, one factor for each principal direction."""
    values, vectors = torch.linalg.eigh(prior.covariance())
    factor = ((values + sigma_end**2) / (values + sigma**2)).sqrt()
    return prior.mean() + (vectors * factor) @ vectors.T @ (x - prior.mean())


def test_heun_converges_with_order_two(prior):
    x = torch.tensor([3.0, 1.0]).double()
    errors = []
    for num_steps in (16, 32, 64):
        sigmas = karras_sigmas(num_steps + 1, 5.0, 0.05)
        z = x
        for sigma, sigma_next in itertools.pairwise(sigmas):
            z = heun_step(prior, z, sigma, sigma_next)
        errors.append((z - flow(prior, x, 5.0, 0.05)).norm().item())
    slopes = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert all(abs(slope - 2) < 0.2 for slope in slopes), slopes


@pytest.mark.parametrize("churn", [0.0, 20.0])
def test_samples_a_gaussian(prior, churn):
    count = 5000
    sampler = HeunSampler(num_steps=60, sigma_max=20.0, churn=churn)
    samples = sampler.sample(prior, count, generator=derive_generator(0), dtype=torch.float64)
    x = samples.values
    assert ((x.mean(0) - prior.mean()).abs() < 4.5 * samples.std() / count**0.5).all()
    assert ((torch.cov(x.T) - prior.covariance()).abs() < 4.5 * 0.5 * (2 / count) ** 0.5).all()


def test_samples_both_modes_of_a_mixture():
    prior = GaussianMixturePrior(
        torch.tensor([0.3, 0.7]).double(),
        torch.tensor([[-2.0], [2.0]]).double(),
        torch.full((2, 1, 1), 0.1).double(),
    )
    samples = HeunSampler(num_steps=40).sample(
        prior, 2000, generator=derive_generator(0), dtype=torch.float64
    )
    share = (samples.values > 0).double().mean().item()
    assert abs(share - 0.7) < 4.5 * (0.21 / 2000) ** 0.5


def test_a_sample_does_not_depend_on_their_number(prior):
    few, many = (
        HeunSampler().sample(prior, n, generator=derive_generator(0)).values for n in (2, 5)
    )
    torch.testing.assert_close(few, many[:2])


def test_needs_a_shape_where_any_will_do(prior):
    class AnyShape:
        data_range, image_shape = (-1.0, 1.0), None

        def __call__(self, x, sigma):
            return torch.zeros_like(x)

    with pytest.raises(ValueError, match="pass image_shape"):
        HeunSampler().sample(AnyShape(), 1, generator=derive_generator(0))
    samples = HeunSampler().sample(AnyShape(), 2, generator=derive_generator(0), image_shape=(3, 4))
    assert samples.values.shape == (2, 3, 4)


def test_levels_fall_from_the_highest_to_the_lowest():
    sigmas = karras_sigmas(9, 80.0, 0.002)
    assert sigmas.dtype == torch.float64
    assert (sigmas.diff() < 0).all()
    assert sigmas[0].item() == pytest.approx(80)
    assert sigmas[-1].item() == pytest.approx(0.002)
    # linear in the seventh root
    assert sigmas[4].item() ** (1 / 7) == pytest.approx((80 ** (1 / 7) + 0.002 ** (1 / 7)) / 2)


@pytest.mark.parametrize("settings", [{"num_steps": 1}, {"sigma_min": 0.0}, {"churn": -1.0}])
def test_refuses_settings_out_of_range(settings):
    with pytest.raises(ValueError, match=r"sigmas|HeunSampler"):
        HeunSampler(**settings)
    assert half_range(GaussianPrior(torch.zeros(1), 1.0)) == 4
