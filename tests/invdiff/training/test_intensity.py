"""Changes of values: powers, smooth factors and phases, of magnitudes and of complex images."""

import math

import pytest
import torch
from scipy.stats import kstest

from invdiff.rng import derive_generator
from invdiff.training.augmentation import Augmentation
from invdiff.training.intensity import bias_changed, gamma_changed, phase_changed

STILL = {"rotation_deg": 0.0, "scale": 0.0, "shift": 0.0, "flip": 0.0, "elastic_px": 0.0}


def complex_images(generator, count=8):
    parts = torch.randn(count, 1, 12, 16, 2, dtype=torch.float64, generator=generator)
    return torch.view_as_complex(parts)


def test_gamma_of_complex_images_is_that_of_their_magnitude(generator):
    images = complex_images(generator)
    images[:, :, 0] = 0
    found = gamma_changed(images, 0.3, derive_generator(5))
    magnitude = gamma_changed(images.abs(), 0.3, derive_generator(5))
    torch.testing.assert_close(found.abs(), magnitude)
    torch.testing.assert_close(found.angle(), images.angle())


def test_gamma_is_one_power_for_all_of_an_image(generator):
    images = torch.rand(8, 1, 12, 16, dtype=torch.float64, generator=generator)
    power = gamma_changed(images, 0.3, generator).log() / images.log()
    torch.testing.assert_close(power, power[..., :1, :1].expand_as(power))
    assert float(power[:, 0, 0, 0].std()) > 0.1


@pytest.mark.parametrize("shape", [(8, 12, 16), (8, 1, 12, 16), (8, 2, 12, 16)])
def test_bias_is_a_positive_field_for_each_image(generator, shape):
    images = torch.ones(shape, dtype=torch.float64)
    field = bias_changed(images, 0.3, generator)
    assert float(field.min()) > 0
    assert not torch.equal(field[0], field[1])
    if shape[1] == 2:
        assert torch.equal(field[:, 0], field[:, 1])


def test_bias_has_the_stated_spread_and_is_smooth(generator):
    images = torch.ones(4000, 16, 16, dtype=torch.float64)
    logarithm = bias_changed(images, 0.3, generator).log()
    assert float(logarithm.std()) == pytest.approx(0.3, rel=0.05)
    # a step of one of eight pixels of the grid
    assert float(logarithm.diff(dim=-1).std()) < 0.3 / 6


def test_phase_keeps_magnitudes_and_turns_images_uniformly(generator):
    images = torch.full((3000, 1, 8, 8), 2.0, dtype=torch.complex128)
    found = phase_changed(images, 1e-9, generator)
    torch.testing.assert_close(found.abs(), images.abs())
    turn = found.angle()[:, 0, 0, 0] / (2 * math.pi) + 0.5
    assert kstest(turn.numpy(), "uniform").pvalue > 1e-3


def test_phase_varies_smoothly_by_its_spread(generator):
    images = torch.ones(3000, 1, 16, 16, dtype=torch.complex128)
    found = phase_changed(images, 0.2, generator)
    step = (found[..., 1:] * found[..., :-1].conj()).angle()
    assert 0.2 / 20 < float(step.std()) < 0.2 / 6


def test_augmented_magnitudes_stay_in_their_range(generator):
    images = 2 * torch.rand(16, 1, 24, 24, generator=generator) - 1
    found = Augmentation(gamma=0.4, bias=0.6)(images, generator)
    assert -1 <= float(found.min()) <= float(found.max()) <= 1


def test_air_stays_air(generator):
    for channels, air in ((1, -1.0), (2, 0.0)):
        images = torch.full((4, channels, 16, 16), air)
        found = Augmentation(gamma=0.3, bias=0.3, phase=0.3 * (channels - 1))(images, generator)
        assert torch.equal(found, images)


def test_settings_of_values_act_on_values_from_0_to_1(generator):
    images = 2 * torch.rand(6, 1, 8, 8, dtype=torch.float64, generator=generator) - 1
    found = Augmentation(**STILL, gamma=0.2)(images, derive_generator(3))
    expected = 2 * gamma_changed((images + 1) / 2, 0.2, derive_generator(3)) - 1
    torch.testing.assert_close(found, expected)


def test_phase_of_two_channels_is_that_of_the_complex_image(generator):
    images = complex_images(generator)
    channels = torch.view_as_real(images[:, 0]).movedim(-1, 1)
    found = Augmentation(**STILL, phase=0.4)(channels, derive_generator(3))
    expected = phase_changed(images[:, 0], 0.4, derive_generator(3))
    torch.testing.assert_close(torch.complex(found[:, 0], found[:, 1]), expected)


def test_magnitudes_have_no_phase(generator):
    with pytest.raises(ValueError, match="no phase"):
        Augmentation(phase=0.1)(torch.zeros(2, 1, 8, 8), generator)
