import pytest
import torch

from invdiff.priors import GaussianPrior, load_prior, rescale, resized


class AnyShape:
    data_range = (0.0, 1.0)
    image_shape = None

    def __call__(self, x, sigma):
        return x


def test_another_size_is_what_loading_it_at_that_size_gives(make_folder, generator):
    folder, sigma = make_folder(), torch.tensor(0.3)
    x = torch.randn((2, 32, 16), generator=generator)
    prior = resized(rescale(load_prior(folder), 0.0, 5.0), (32, 16))
    expected = rescale(load_prior(folder, size=(32, 16)), 0.0, 5.0)
    assert prior.image_shape == (32, 16)
    assert prior.data_range == (0.0, 5.0)
    torch.testing.assert_close(prior(x, sigma), expected(x, sigma))


def test_all_sizes_share_the_weights(make_folder):
    prior = load_prior(make_folder())
    assert resized(prior, (32, 16)).network is prior.network


def test_priors_of_any_shape_stay_as_they_are():
    prior = AnyShape()
    assert resized(prior, (2, 3)) is prior


def test_priors_of_one_size_are_refused():
    prior = GaussianPrior(torch.zeros(2, 2), torch.eye(4))
    with pytest.raises(ValueError, match="expected a network of one channel, got a Gaussian"):
        resized(rescale(prior, 0.0, 1.0), (3, 3))
