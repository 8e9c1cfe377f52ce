"""A router network takes what priors take, and gives probabilities."""

import pytest
import torch

from invdiff.priors.router_network import RouterNetwork, RouterSettings
from invdiff.training import drawn_network


def _network(shape, generator, **settings):
    return drawn_network(
        lambda: RouterNetwork(RouterSettings(3, shape, width=8, depth=2, **settings)),
        generator=generator,
    ).requires_grad_(False)


@pytest.mark.parametrize("shape", [(5,), (16, 12), (2, 8, 8)])
@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
def test_probabilities_of_each_image_depend_on_it_alone(shape, batch, generator):
    network = _network(shape, generator)
    x = torch.randn(*batch, *shape, generator=generator)
    sigma = torch.rand(batch, generator=generator) + 0.1
    found = network(x, sigma)
    assert found.shape == (*batch, 3)
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(batch))
    flat = zip(x.reshape(-1, *shape), sigma.reshape(-1), strict=True)
    alone = torch.stack([network(image, level) for image, level in flat])
    torch.testing.assert_close(found, alone.reshape(*batch, 3))
    one = network(x, torch.tensor(0.5))
    torch.testing.assert_close(one, network(x, torch.full(batch, 0.5)))


@pytest.mark.parametrize("shape", [(5,), (16, 16)])
def test_what_is_not_noise_keeps_its_scale(shape, generator):
    small, large = (_network(shape, generator, sigma_data=s) for s in (0.5, 50.0))
    large.load_state_dict(small.state_dict())
    x, sigma = torch.randn(4, *shape, generator=generator), torch.tensor(0.3)
    # only the waves of the level tell the units
    waves = [n for n, _ in small.named_parameters() if "modulation" in n]
    for network in (small, large):
        for name in waves:
            network.get_parameter(name).zero_()
    torch.testing.assert_close(small(x, sigma), large(100 * x, 100 * sigma))


def test_the_noise_level_counts(generator):
    network = _network((16, 16), generator)
    x = torch.randn(4, 16, 16, generator=generator)
    # the same input to the first layer at two levels
    first = network(0.5 * 2**0.5 * x, torch.tensor(0.5))
    second = network(0.5 * 5**0.5 * x, torch.tensor(1.0))
    assert (first - second).abs().max() > 1e-4


def test_rows_and_columns_are_free_and_double_precision_stays(generator):
    network = _network((16, 16), generator)
    x = torch.randn(4, 24, 40, generator=generator, dtype=torch.float64)
    found = network(x, torch.tensor(1.0))
    assert found.shape == (4, 3)
    assert found.dtype == torch.float64


@pytest.mark.parametrize(
    ("shape", "x"),
    [
        ((5,), torch.zeros(4, 6)),
        ((2, 8, 8), torch.zeros(3, 8, 8)),
        ((8, 8), torch.zeros(8)),
        ((8, 8), torch.zeros(8, 8, dtype=torch.complex64)),
    ],
)
def test_other_images_are_refused(shape, x, generator):
    with pytest.raises(ValueError, match="expected real images like"):
        _network(shape, generator)(x, torch.tensor(1.0))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"num_experts": 1}, "num_experts >= 2"),
        ({"depth": 0}, "depth >= 1"),
        ({"width": 0}, "width >= 1"),
        ({"image_shape": ()}, "1 to 3 axes"),
        ({"image_shape": (4, 0)}, "1 to 3 axes"),
        ({"image_shape": (8, 8), "depth": 4}, "at least 16 rows"),
        ({"sigma_data": 0.0}, "sigma_data > 0"),
    ],
)
def test_bad_settings_are_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        RouterSettings(**{"num_experts": 2, "image_shape": (5,), **settings})
