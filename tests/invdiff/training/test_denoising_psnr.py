"""Held-out denoising: closed forms, the same noise for all, and tables of subjects."""

import math

import pytest
import torch

from invdiff.rng import derive_generator
from invdiff.training.denoising import DenoisingScores, denoising_psnr

SIGMAS = (0.1, 0.3, 1.0)


class Scaled:
    """A denoiser that multiplies by a number; it keeps what it was given."""

    data_range = (-1.0, 1.0)
    image_shape = None

    def __init__(self, factor):
        self.factor, self.calls = factor, []

    def __call__(self, x, sigma):
        self.calls.append(x)
        return self.factor * x


@pytest.fixture
def images(generator):
    return 2 * torch.rand(12, 32, 32, generator=generator) - 1


def test_noisy_images_have_the_psnr_of_their_noise(images, generator):
    scores = denoising_psnr(Scaled(1.0), images, SIGMAS, generator=generator)
    expected = torch.tensor([20 * math.log10(2 / sigma) for sigma in SIGMAS]).double()
    # 12 * 1024 squares of normal numbers: 1.3 % is 0.055 dB
    torch.testing.assert_close(scores.pooled, expected, atol=0.2, rtol=0)


def test_zero_has_the_psnr_of_the_images(images, generator):
    scores = denoising_psnr(Scaled(0.0), images, SIGMAS, generator=generator)
    error = images.double().square().flatten(1).mean(1) / 4
    torch.testing.assert_close(scores.per_image, (-10 * error.log10()).expand(3, -1))
    torch.testing.assert_close(scores.mean, (-10 * error.log10()).mean().expand(3))
    torch.testing.assert_close(scores.pooled, (-10 * error.mean().log10()).expand(3))


def test_all_denoisers_and_batches_see_the_same_noise(images):
    one, other = Scaled(1.0), Scaled(0.5)
    first = denoising_psnr(one, images, SIGMAS, generator=derive_generator(1))
    denoising_psnr(other, images, SIGMAS, generator=derive_generator(1))
    assert all(torch.equal(a, b) for a, b in zip(one.calls, other.calls, strict=True))
    small = denoising_psnr(one, images, SIGMAS, generator=derive_generator(1), batch_size=5)
    assert torch.equal(small.errors, first.errors)
    changed = denoising_psnr(one, images, SIGMAS, generator=derive_generator(2))
    assert not torch.equal(changed.errors, first.errors)


def test_a_level_does_not_depend_on_the_others(images):
    both = denoising_psnr(Scaled(1.0), images, SIGMAS, generator=derive_generator(1))
    alone = denoising_psnr(Scaled(1.0), images, SIGMAS[1:2], generator=derive_generator(1))
    assert torch.equal(alone.errors[0], both.errors[1])


def test_subjects_are_scored_apart(images, generator):
    scores = denoising_psnr(Scaled(0.5), images, SIGMAS, generator=generator)
    table = scores.by_subject(["b", "a", "a"] * 4)
    assert list(table) == ["a", "b"]
    assert torch.equal(table["b"].errors, scores.errors[:, ::3])
    total = 8 * 10 ** (-table["a"].pooled / 10) + 4 * 10 ** (-table["b"].pooled / 10)
    torch.testing.assert_close(-10 * (total / 12).log10(), scores.pooled)


def test_subjects_of_other_images_are_refused():
    scores = DenoisingScores((0.1,), torch.ones(1, 3))
    with pytest.raises(ValueError, match="expected 3 subjects, got 2"):
        scores.by_subject(["a", "b"])


@pytest.mark.parametrize(
    ("shape", "sigmas", "batch_size"),
    [((0, 4, 4), SIGMAS, 1), ((2, 4, 4), (), 1), ((2, 4, 4), (0.1, 0.0), 1),
     ((2, 4, 4), (math.nan,), 1), ((2, 4, 4), SIGMAS, 0)],
)  # fmt: skip
def test_bad_input_is_refused(generator, shape, sigmas, batch_size):
    with pytest.raises(ValueError, match="denoising_psnr: expected"):
        denoising_psnr(
            Scaled(1.0), torch.zeros(shape), sigmas, generator=generator, batch_size=batch_size
        )
