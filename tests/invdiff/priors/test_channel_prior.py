"""A prior of two channels as one of complex images."""

import pytest
import torch

from invdiff.priors import ComplexPrior, rescale
from invdiff.priors.channel_prior import ChannelPrior

COVARIANCE = torch.tensor([[0.5, 0.3], [0.3, 0.4]])


class Correlated:
    """Pixels alike, their real and imaginary part Gaussian and correlated."""

    data_range = (-1.0, 1.0)
    image_shape = (2, 3, 4)

    def __init__(self, covariance=COVARIANCE, **changes):
        self.covariance = covariance
        self.__dict__.update(changes)

    def __call__(self, x, sigma):
        noise = sigma.reshape(*sigma.shape, 1, 1) ** 2 * torch.eye(2)
        gain = self.covariance @ torch.linalg.inv(self.covariance + noise)
        return torch.einsum("...cd,...dhw->...chw", gain, x)


@pytest.fixture
def z(generator):
    return torch.complex(*torch.randn(2, 5, 3, 4, generator=generator))


def test_mean_of_correlated_parts(z):
    sigma = torch.linspace(0.1, 2, 5)
    mean = ChannelPrior(Correlated())(z, sigma)
    for k, level in enumerate(sigma):
        gain = COVARIANCE @ torch.linalg.inv(COVARIANCE + level**2 * torch.eye(2))
        u, v = z[k].real, z[k].imag
        torch.testing.assert_close(mean[k].real, gain[0, 0] * u + gain[0, 1] * v)
        torch.testing.assert_close(mean[k].imag, gain[1, 0] * u + gain[1, 1] * v)


def test_independent_parts_are_those_of_a_complex_prior(z):
    """Where the imaginary part is Gaussian by itself both say the same."""
    channels = Correlated(torch.diag(torch.tensor([0.5, 0.2])))

    class Real:
        data_range = (0.0, 1.0)
        image_shape = (3, 4)

        def __call__(self, x, sigma):
            return 0.5 / (0.5 + sigma**2) * x

    sigma = torch.tensor(0.7)
    modelled = ComplexPrior(Real(), 0.2**0.5)
    torch.testing.assert_close(ChannelPrior(channels)(z, sigma), modelled(z, sigma))


def test_its_range_is_that_of_magnitudes(z):
    prior = ChannelPrior(Correlated(data_range=(-2.0, 2.0)))
    assert (prior.data_range, prior.image_shape) == ((0.0, 2.0), (3, 4))
    doubled, sigma = rescale(prior, 0, 4), torch.tensor(0.5)
    torch.testing.assert_close(doubled(2 * z, 2 * sigma), 2 * prior(z, sigma))


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 4), (1, 4, 4), None])
def test_refuses_other_channels(shape):
    with pytest.raises(ValueError, match=r"expected images \(2, height, width\), got"):
        ChannelPrior(Correlated(image_shape=shape))


def test_refuses_a_range_that_is_not_symmetric_and_real_images(z):
    with pytest.raises(ValueError, match=r"data_range \[-a, a\], got \[0.0, 1.0\]"):
        ChannelPrior(Correlated(data_range=(0.0, 1.0)))
    with pytest.raises(ValueError, match=r"expected complex images, got torch.float32"):
        ChannelPrior(Correlated())(z.real, torch.tensor(1.0))
