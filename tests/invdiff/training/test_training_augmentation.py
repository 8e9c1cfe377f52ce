"""Changes of training images: which there are, how often, and that no pixel is made up."""

import math
from itertools import product

import pytest
import torch
from scipy.stats import kstest

from invdiff.rng import derive_generator
from invdiff.training import cropped, gamma_changed, mirrored


def repeated(image, count):
    return image.expand(count, *image.shape)


def asymmetric(height, width):
    return torch.arange(1.0, height * width + 1).reshape(height, width)


def share_of(results, expected):
    """How often each of the images occurs among the results."""
    matches = [(results == image).flatten(1).all(1) for image in expected]
    return [float(match.float().mean()) for match in matches]


def assert_uniform(shares, count):
    assert sum(shares) == pytest.approx(1)
    p = 1 / len(shares)
    deviation = math.sqrt(p * (1 - p) / count)
    assert all(abs(share - p) <= 4.5 * deviation for share in shares)


def test_mirrored_draws_the_eight_symmetries_alike(generator):
    image = asymmetric(3, 3)
    results = mirrored(repeated(image, 2000), generator)
    turned = [image.rot90(k) for k in range(4)]
    assert_uniform(share_of(results, turned + [t.flip(0) for t in turned]), 2000)


def test_mirrored_keeps_the_pixels_of_each_image(generator):
    images = torch.rand(20, 8, 8, generator=generator)
    results = mirrored(images, generator)
    assert torch.equal(results.flatten(1).sort().values, images.flatten(1).sort().values)
    assert not torch.equal(results, images)


def test_mirrored_refuses_images_that_are_not_square(generator):
    with pytest.raises(ValueError, match="square"):
        mirrored(torch.zeros(2, 3, 4), generator)


@pytest.mark.parametrize(("height", "width"), [(4, 5), (5, 4), (3, 3)])
def test_cropped_draws_every_place_alike(generator, height, width):
    image = asymmetric(height, width)
    places = product(range(height - 2), range(width - 2))
    expected = [image[i : i + 3, j : j + 3] for i, j in places]
    results = cropped(repeated(image, 2000), 3, generator)
    assert_uniform(share_of(results, expected), 2000)


@pytest.mark.parametrize("side", [0, -1, 5])
def test_cropped_refuses_sides_that_do_not_fit(generator, side):
    with pytest.raises(ValueError, match=f"cannot cut {side} out of"):
        cropped(torch.zeros(2, 4, 6), side, generator)


def test_gamma_has_a_normal_logarithm_of_that_spread(generator):
    results = gamma_changed(torch.full((4000, 1, 1), 0.3, dtype=torch.float64), 0.15, generator)
    logarithm = (results.log() / math.log(0.3)).log().flatten()
    assert kstest((logarithm / 0.15).numpy(), "norm").pvalue > 1e-3


def test_gamma_keeps_black_white_and_order(generator):
    image = torch.linspace(0, 1, 9).reshape(3, 3)
    results = gamma_changed(repeated(image, 50), 0.5, generator).flatten(1)
    assert (results.diff() > 0).all()
    assert torch.equal(results[:, 0], torch.zeros(50))
    assert torch.equal(results[:, -1], torch.ones(50))
    torch.testing.assert_close(gamma_changed(image[None], 0.0, generator), image[None])


@pytest.mark.parametrize(
    "change",
    [
        mirrored,
        lambda x, g: cropped(x, 4, g),
        lambda x, g: gamma_changed(x, 0.2, g),
    ],
)
def test_changes_follow_the_generator_alone(change):
    images = torch.rand(16, 8, 8, generator=derive_generator(0))
    first, again, other = (change(images, derive_generator(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
