"""Images turned, scaled, shifted and bent: where each pixel comes from, and no fold."""

import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from invdiff.rng import derive_generator
from invdiff.training.augmentation import Augmentation
from invdiff.training.deformation import Deformation, deformed, elastic_displacements, flipped
from invdiff.training.smooth_field import smooth_fields

NOTHING = {
    "rotation_deg": 0.0, "scale": 0.0, "shift": 0.0, "flip": 0.0, "elastic_px": 0.0,
}  # fmt: skip


def only(**changed):
    return Augmentation(**{**NOTHING, **changed})


def points_of(size, generator, **changed):
    settings = {"rotation_deg": 0.0, "scale": 0.0, "shift": 0.0, "elastic_px": 0.0}
    deformation = Deformation(**{**settings, "elastic_grid": 16.0, **changed})
    return deformation.sample(64, size, generator=generator, dtype=torch.float64)


def jacobians(points):
    """The determinants of the map from pixels to points, by forward differences."""
    along_x = points[:, :-1, 1:] - points[:, :-1, :-1]
    along_y = points[:, 1:, :-1] - points[:, :-1, :-1]
    return along_x[..., 0] * along_y[..., 1] - along_x[..., 1] * along_y[..., 0]


def random_images(generator, channels=1, size=(16, 16)):
    return 2 * torch.rand(6, channels, *size, generator=generator) - 1


def test_zeros_change_no_bit(generator):
    images = random_images(generator)
    assert torch.equal(only()(images, generator), images)


def test_identity_points_read_the_pixels(generator):
    images = random_images(generator, size=(7, 12)).double()
    points = points_of((7, 12), generator)[:6]
    torch.testing.assert_close(deformed(images, points, -1.0), images)


def test_whole_shifts_move_pixels_and_bring_in_air(generator):
    images = random_images(generator, size=(8, 10)).double()
    points = points_of((8, 10), generator)[:6] + torch.tensor([2.0, -1.0], dtype=torch.float64)
    expected = torch.full_like(images, -1.0)
    expected[..., 1:, :-2] = images[..., :-1, 2:]
    torch.testing.assert_close(deformed(images, points, -1.0), expected)


def test_quarter_turns_are_those_of_the_array(generator):
    images = random_images(generator).double()
    x, y = points_of((16, 16), generator)[:6].unbind(-1)
    turned = deformed(images, torch.stack((-y, x), dim=-1), -1.0)
    torch.testing.assert_close(turned, images.rot90(1, (-2, -1)))


def test_rotation_keeps_distances_of_oblong_images(generator):
    points = points_of((24, 8), generator, rotation_deg=30.0)
    torch.testing.assert_close(
        points.norm(dim=-1), points_of((24, 8), generator).norm(dim=-1), rtol=1e-9, atol=1e-9
    )


def test_angles_are_uniform_to_either_side(generator):
    points = points_of((3, 3), generator, rotation_deg=30.0)
    angle = torch.atan2(points[:, 1, 2, 1], points[:, 1, 2, 0]).rad2deg()
    assert float(angle.abs().max()) <= 30
    assert float(angle.max()) > 25
    assert float(angle.min()) < -25


def test_sizes_are_between_the_factor_and_its_inverse(generator):
    size = jacobians(points_of((3, 3), generator, scale=0.2))[:, 0, 0].rsqrt()
    assert 1 / 1.2 - 1e-9 <= float(size.min()) < 0.87
    assert 1.15 < float(size.max()) <= 1.2 + 1e-9


def test_shifts_are_shares_of_the_sides(generator):
    centre = points_of((41, 21), generator, shift=0.1)[:, 20, 10]
    for axis, side in ((0, 21), (1, 41)):
        assert 0.085 * side < float(centre[:, axis].abs().max()) <= 0.1 * side


def test_linear_images_are_read_exactly_in_one_interpolation(generator):
    points = points_of((64, 64), generator, rotation_deg=10.0, scale=0.1, elastic_px=2.0)[:6]
    x, y = points_of((64, 64), generator)[:6].unbind(-1)
    found = deformed((x + 2 * y)[:, None], points, 0.0)[:, 0]
    inside = points.abs().amax(-1) < 31
    expected = points[..., 0] + 2 * points[..., 1]
    torch.testing.assert_close(found[inside], expected[inside])
    assert float(inside.double().mean()) > 0.7


def test_air_stays_air_to_the_bit_up_to_the_border(generator):
    images = torch.full((6, 1, 32, 32), -1.0)
    assert torch.equal(Augmentation(elastic_px=5.0)(images, generator), images)


@pytest.mark.parametrize("size", [64, 256])
def test_defaults_do_not_fold(generator, size):
    a = Augmentation()
    points = points_of(
        (size, size), generator, rotation_deg=a.rotation_deg, scale=a.scale, shift=a.shift,
        elastic_px=a.elastic_px, elastic_grid=a.elastic_grid,
    )  # fmt: skip
    # smallest measured: 0.6; scale alone gives 0.83
    assert float(jacobians(points).min()) > 0.4


@pytest.mark.parametrize(("std", "spacing"), [(3.0, 8.0), (20.0, 8.0), (1e3, 16.0)])
def test_no_amplitude_folds(generator, std, spacing):
    points = points_of((48, 64), generator, elastic_px=std, elastic_grid=spacing)
    assert float(jacobians(points).min()) > 0


def test_displacements_have_the_stated_deviation(generator):
    found = elastic_displacements(
        200, (64, 64), 1.5, 16.0, generator=generator, dtype=torch.float64
    )  # fmt: skip
    # 200 times 2 fields of 49 coefficients
    assert float(found.std()) == pytest.approx(1.5, rel=0.03)
    assert found.shape == (200, 64, 64, 2)


def test_smooth_fields_do_not_exceed_their_bound(generator):
    fields = smooth_fields((50,), (20, 30), 5.0, std=9.0, bound=0.5, generator=generator)
    assert 0.4 < float(fields.abs().max()) <= 0.5 + 1e-6


def test_smooth_fields_change_no_faster_than_their_spacing_allows(generator):
    fields = smooth_fields(
        (50,), (60, 40), 10.0, std=9.0, bound=1.0, generator=generator, dtype=torch.float64
    )
    # neighbouring coefficients differ by 2 at most
    assert float(fields.diff(dim=-1).abs().max()) <= 2 / 10
    assert float(fields.diff(dim=-1).abs().max()) > 0.1


def test_flips_are_drawn_for_each_image_with_their_probability(generator):
    images = torch.arange(4.0).expand(4000, 1, 2, 4)
    found = (flipped(images, 0.3, generator)[:, 0, 0, 0] == 3).double().mean()
    assert float(found) == pytest.approx(0.3, abs=4.5 * math.sqrt(0.21 / 4000))


def test_certain_flips_are_exact(generator):
    images = random_images(generator)
    assert torch.equal(only(flip=1.0)(images, generator), images.flip(-1))


def test_parts_of_complex_images_move_together(generator):
    part = random_images(generator)
    found = Augmentation()(torch.cat((part, part), 1), generator)
    assert torch.equal(found[:, 0], found[:, 1])


def test_images_of_a_batch_move_apart(generator):
    image = random_images(generator)[:1].expand(2, -1, -1, -1)
    for name in ("rotation_deg", "scale", "shift", "elastic_px"):
        first, second = only(**{name: 0.5})(image, generator)
        assert not torch.equal(first, second)


def test_augmentation_follows_the_generator_alone():
    images = random_images(derive_generator(0), 2)
    change = Augmentation(gamma=0.1, bias=0.1, phase=0.3)
    first, again, other = (change(images, derive_generator(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == images.shape


@pytest.mark.parametrize("channels", [1, 2])
def test_no_value_is_asked_of_the_device(channels):
    change = Augmentation(gamma=0.1, bias=0.1, phase=0.3 * (channels - 1))
    # tensors without values: whatever reads one raises
    with FakeTensorMode():
        images = torch.zeros(4, channels, 16, 16)
        assert change(images, torch.Generator()).shape == images.shape


@pytest.mark.parametrize(
    "wrong",
    [{"rotation_deg": -1.0}, {"scale": math.inf}, {"flip": 1.5}, {"elastic_grid": 0.5},
     {"gamma": math.nan}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="Augmentation: expected"):
        Augmentation(**wrong)


@pytest.mark.parametrize("shape", [(4, 16, 16), (4, 3, 16, 16)])
def test_other_images_are_refused(generator, shape):
    with pytest.raises(ValueError, match="expected floating-point images"):
        Augmentation()(torch.zeros(shape), generator)
    with pytest.raises(ValueError, match="expected floating-point images"):
        Augmentation()(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), generator)
