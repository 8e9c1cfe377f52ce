import pytest
import torch

from invdiff.priors import GaussianPrior, half_range, rescale


@pytest.fixture
def prior(generator):
    return GaussianPrior(torch.randn(4, generator=generator, dtype=torch.float64), 0.3)


def test_rescaling_is_the_exact_denoiser_of_the_rescaled_images(prior, generator):
    (low, high), factor, shift = prior.data_range, 1.7, -3.0
    rescaled = rescale(prior, factor * low + shift, factor * high + shift)
    exact = GaussianPrior(factor * prior.mean() + shift, factor**2 * 0.3)
    x = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    sigma = torch.rand(5, generator=generator).double() + 0.2
    torch.testing.assert_close(rescaled(x, sigma), exact(x, sigma))
    assert rescaled.image_shape == (4,)
    assert half_range(rescaled) == pytest.approx(factor * half_range(prior))


def test_refuses_an_empty_range(prior):
    with pytest.raises(ValueError, match="low < high"):
        rescale(prior, 1.0, 1.0)
