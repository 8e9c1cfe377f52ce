import pytest
import torch
from diffusers import UNet2DModel

from invdiff.priors import EDM, GaussianPrior, PretrainedPrior, load_prior, rescale, resized
from invdiff.training import seeded_weights


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


def test_a_class_and_its_guidance_stay(generator):
    with seeded_weights(0):
        network = UNet2DModel(
            sample_size=16, in_channels=1, out_channels=1, layers_per_block=1,
            block_out_channels=(8, 8), down_block_types=("DownBlock2D",) * 2,
            up_block_types=("UpBlock2D",) * 2, norm_num_groups=4, num_class_embeds=3,
        )  # fmt: skip
    options = {"info": {"classes": ["T1", "T2"]}, "label": "T2", "guidance": 2.0}
    x, sigma = torch.randn(2, 32, 16, generator=generator), torch.tensor(0.3)
    prior = resized(PretrainedPrior(network, EDM(0.5), **options), (32, 16))
    expected = PretrainedPrior(network, EDM(0.5), size=(32, 16), **options)
    torch.testing.assert_close(prior(x, sigma), expected(x, sigma))
    assert prior.num_calls == expected.num_calls == 4


def test_priors_of_any_shape_stay_as_they_are():
    prior = AnyShape()
    assert resized(prior, (2, 3)) is prior


def test_priors_of_one_size_are_refused():
    prior = GaussianPrior(torch.zeros(2, 2), torch.eye(4))
    with pytest.raises(ValueError, match="expected a network of one channel, got a Gaussian"):
        resized(rescale(prior, 0.0, 1.0), (3, 3))
