"""Priors of complex images and of images with a support against exact posterior means."""

from __future__ import annotations

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import ComplexPrior, GaussianPrior, SupportedPrior, rescale
from invdiff.samplers import DDS, DiffPIR, RedDiff
from operators import CartesianMRI, GaussianNoise, birdcage_maps

SHAPE = (3, 2)


@pytest.fixture
def real(generator) -> GaussianPrior:
    """A correlated Gaussian of 3 x 2 pixels."""
    root = torch.randn(6, 6, dtype=torch.float64, generator=generator)
    mean = torch.randn(SHAPE, dtype=torch.float64, generator=generator)
    return GaussianPrior(mean, root @ root.T / 6 + 0.1 * torch.eye(6, dtype=torch.float64))


def _complex(shape, generator):
    return torch.randn(shape, dtype=torch.complex128, generator=generator)


def _block_covariance(real, std):
    """Covariance of (u, v) stacked: that of u and the diagonal of tau^2."""
    return torch.block_diag(real.covariance(), torch.diag(std.flatten() ** 2))


def test_mean_is_that_of_the_joint_gaussian(real, generator) -> None:
    std = 0.1 + torch.rand(SHAPE, dtype=torch.float64, generator=generator)
    z, sigma = _complex((4, *SHAPE), generator), torch.tensor([0.1, 0.5, 1.0, 3.0])
    stacked = GaussianPrior(
        torch.cat([real.mean().flatten(), torch.zeros(6, dtype=torch.float64)]),
        _block_covariance(real, std),
    )
    parts = stacked(torch.cat([z.real.flatten(1), z.imag.flatten(1)], dim=1), sigma)
    expected = torch.complex(parts[:, :6], parts[:, 6:]).reshape(z.shape)
    torch.testing.assert_close(ComplexPrior(real, std)(z, sigma), expected)


def test_batch_is_the_loop(real, generator) -> None:
    prior, z = ComplexPrior(real, 0.3), _complex((2, 3, *SHAPE), generator)
    sigma = torch.rand(2, 3, dtype=torch.float64, generator=generator) + 0.1
    together = prior(z, sigma)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(together[i, j], prior(z[i, j], sigma[i, j]))


def test_imaginary_part_known_to_be_zero(real, generator) -> None:
    std = torch.zeros(SHAPE, dtype=torch.float64)
    for sigma in (torch.tensor(0.0, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)):
        assert not ComplexPrior(real, std)(_complex(SHAPE, generator), sigma).imag.any()


def test_scaling_and_complex_values_commute(real, generator) -> None:
    """The change of units acts on the real part's offset and on both parts' scale."""
    low, high = real.data_range
    outer = rescale(ComplexPrior(real, 0.3), 2 * low, 2 * high)
    inner = ComplexPrior(rescale(real, 2 * low, 2 * high), 0.6)
    z, sigma = _complex(SHAPE, generator), torch.tensor(0.7, dtype=torch.float64)
    torch.testing.assert_close(outer(z, sigma), inner(z, sigma))


def test_support_is_the_posterior_mean_of_independent_pixels(generator) -> None:
    prior = GaussianPrior(torch.zeros(SHAPE, dtype=torch.float64), 1.0)
    support = torch.tensor([[True, False], [True, True], [False, True]])
    z, sigma = torch.randn(5, *SHAPE, dtype=torch.float64, generator=generator), torch.tensor(0.5)
    mean = SupportedPrior(prior, support)(z, sigma)
    torch.testing.assert_close(mean[:, support], z[:, support] / 1.25)
    assert (mean[:, ~support] == prior.data_range[0]).all()


@pytest.mark.parametrize("std", [-1.0, float("nan"), torch.ones(2, 2)])
def test_spread_that_cannot_be(real, std) -> None:
    with pytest.raises(ValueError, match="imaginary_std"):
        ComplexPrior(real, std)


def test_real_images_are_refused(real) -> None:
    with pytest.raises(ValueError, match=r"expected complex images, got torch\.float64"):
        ComplexPrior(real, 1.0)(torch.zeros(SHAPE, dtype=torch.float64), torch.tensor(1.0))


@pytest.mark.parametrize(
    "support", [torch.ones(2, 2, dtype=torch.bool), torch.zeros(SHAPE, dtype=torch.bool)]
)
def test_support_that_cannot_be(real, support) -> None:
    with pytest.raises(ValueError, match="expected a"):
        SupportedPrior(real, support)


@pytest.mark.parametrize(
    "sampler", [RedDiff(num_steps=40), DDS(num_steps=40), DiffPIR(num_steps=40)], ids=str
)
def test_samplers_take_complex_images(sampler, generator) -> None:
    """With little noise and all of k-space the image is found, imaginary part included."""
    shape = (8, 8)
    magnitude = torch.rand(shape, generator=generator) + 0.5
    image = torch.complex(magnitude, 0.2 * torch.randn(shape, generator=generator))
    operator = CartesianMRI(torch.ones(shape, dtype=torch.bool), birdcage_maps(shape, 4))
    noise = GaussianNoise(1e-3)
    likelihood = Likelihood(operator, noise, noise.sample(operator(image), generator=generator))
    prior = ComplexPrior(GaussianPrior(torch.ones(shape, dtype=torch.float64), 0.1), 0.2)
    values = sampler.sample(likelihood, prior, 1, generator=generator).values[0]
    # the noise is of 1e-3, and each sampler ends at its own smallest noise level
    torch.testing.assert_close(values, image, rtol=0, atol=0.03)
