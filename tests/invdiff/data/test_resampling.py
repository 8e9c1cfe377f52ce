import itertools
from functools import partial

import numpy as np
import pydicom
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from invdiff.data import (
    Image,
    fill,
    onto,
    orient,
    read_dicom,
    sample_path,
    to_spacing,
    write_dicom,
)

# rows run along -y and columns along x, tilted, 0.8 mm and 1.3 mm, slices 3 mm apart
AFFINE = np.array(
    [[1.3, 0.0, 0, -30], [0, -0.8 * 0.96, 3 * 0.28, 40], [0, 0.8 * 0.28, 3 * 0.96, 5], [0, 0, 0, 1]]
)
# a tent sampled at few pixels is off its centre by up to 0.05 of one; a step is 1.3 or 1.5 here
RAMP_TOLERANCE = 0.15
RESAMPLED = {
    "fill-small": partial(fill, size=20),
    "fill-large": partial(fill, size=77),
    "spacing-fine": partial(to_spacing, size=90, pixel_mm=0.7),
    "spacing-coarse": partial(to_spacing, size=40, pixel_mm=1.9),
}
EVERY = pytest.mark.parametrize("resample", RESAMPLED.values(), ids=RESAMPLED.keys())


def picture(shape=(2, 41, 36), affine=AFFINE, unit="HU", seed=0) -> Image:
    values = np.random.default_rng(seed).random(shape, np.float32)
    return Image(values, affine, "CT" if unit == "HU" else "MR", unit)


def blob(affine=AFFINE, at=(1, 15, 22)) -> Image:
    """A smooth bright spot, so that its centre of mass survives interpolation."""
    rows, cols = np.indices((41, 36))
    values = np.zeros((3, 41, 36), np.float32)
    values[at[0]] = 100 * np.exp(-((rows - at[1]) ** 2 + (cols - at[2]) ** 2) / 8)
    return Image(values, affine, "MR")


def centre_of_mass(image: Image, k: int) -> np.ndarray:
    weights = image.values[k].astype(float)
    row, col = (float((weights * i).sum() / weights.sum()) for i in np.indices(weights.shape))
    return (image.affine @ (col, row, k, 1))[:3]


@given(rows=st.integers(1, 60), cols=st.integers(2, 60), size=st.integers(2, 70))
def test_fill_is_the_interpolation_of_torch(rows, cols, size):
    image = picture((2, rows, cols))
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(image.values).double()[:, None],
        size=(size, size),
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    np.testing.assert_allclose(fill(image, size).values, expected[:, 0], atol=1e-6)


def test_fill_enlarges_linearly():
    image = picture((2, 11, 7))
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(image.values)[:, None], (30, 30), mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(fill(image, 30).values, expected[:, 0], atol=1e-6)


def test_fill_keeps_the_corners_of_the_field():
    image = picture()
    result = fill(image, 50)
    assert result.values.shape == (2, 50, 50)
    np.testing.assert_allclose(result.spacing, (3, 0.8 * 41 / 50, 1.3 * 36 / 50))
    for col, row in itertools.product((0, 1), repeat=2):
        corners = [
            i.affine @ (col * i.values.shape[2] - 0.5, row * i.values.shape[1] - 0.5, 1, 1)
            for i in (image, result)
        ]
        np.testing.assert_allclose(*corners, atol=1e-12)


@pytest.mark.parametrize(("size", "pixel"), [(64, 0.5), (21, 2.0), (256, 0.9), (1, 3.0), (5, 90.0)])
def test_spacing_is_exactly_the_one_asked_for(size, pixel):
    result = to_spacing(picture(), size, pixel)
    assert result.values.shape == (2, size, size)
    np.testing.assert_allclose(result.spacing, (3, pixel, pixel), rtol=1e-12)


@pytest.mark.parametrize("size", [30, 31, 50, 51])
@pytest.mark.parametrize("pixel", [0.6, 1.0, 2.3])
def test_spacing_keeps_the_centre_to_half_a_pixel(size, pixel):
    image = picture()
    result = to_spacing(image, size, pixel)
    old, new = (
        i.affine @ ((i.values.shape[2] - 1) / 2, (i.values.shape[1] - 1) / 2, 0, 1)
        for i in (image, result)
    )
    assert np.abs(np.linalg.inv(result.affine) @ (new - old)).max() <= 0.5 + 1e-9


def test_present_spacing_only_crops_and_pads():
    image = picture((1, 9, 6), np.diag([0.5, 0.5, 2, 1.0]))
    result = to_spacing(image, 7, 0.5)
    np.testing.assert_array_equal(result.values[0, :, :6], image.values[0, 1:8])
    np.testing.assert_array_equal(result.values[0, :, 6], -1000)


def test_outside_of_the_field_is_padding():
    hu, arbitrary = (to_spacing(picture(unit=u), 90, 1.0) for u in ("HU", "arbitrary"))
    assert hu.values[0, 0, 0] == -1000
    assert arbitrary.values[0, 0, 0] == 0
    # 41 x 0.8 mm is 33 rows of 1 mm, 36 x 1.3 mm is 47 columns
    assert (hu.values[0] != -1000).sum() == 33 * 47


@EVERY
def test_a_dot_keeps_its_world_coordinates(resample):
    image = blob()
    result = resample(image)
    error = centre_of_mass(result, 1) - centre_of_mass(image, 1)
    assert np.linalg.norm(error) < 0.1 * min(result.spacing)
    # the brightest pixel is the nearest one
    k, row, col = np.unravel_index(result.values.argmax(), result.values.shape)
    place = np.linalg.inv(result.affine) @ image.affine @ (22, 15, 1, 1)
    assert k == 1
    assert np.abs(place[:2] - (col, row)).max() < 0.6


@EVERY
def test_a_constant_stays_constant_inside(resample):
    values = np.full((2, 41, 36), 40, np.float32)
    result = resample(Image(values, AFFINE, "CT", "HU"))
    inside = result.values != -1000
    np.testing.assert_allclose(result.values[inside], 40, rtol=1e-6)


@EVERY
def test_back_onto_the_input_gives_its_affine_and_its_values(resample):
    """A linear ramp in the world survives both interpolations wherever neither meets an edge."""
    image = picture()
    points = image.affine @ np.stack(
        [*(i.ravel() for i in np.indices((2, 41, 36))[::-1]), np.ones(2 * 41 * 36)]
    )
    ramp = (points[0] + 2 * points[1]).reshape(2, 41, 36).astype(np.float32)
    image = image.replaced(ramp)
    back = onto(resample(image), image)
    np.testing.assert_array_equal(back.affine, image.affine)
    assert back.template is image.template
    core = (slice(None), slice(4, -4), slice(4, -4))
    np.testing.assert_allclose(back.values[core], ramp[core], atol=RAMP_TOLERANCE)


@pytest.mark.parametrize("flips", list(itertools.product([1, -1], repeat=2)))
@pytest.mark.parametrize("swap", [False, True])
def test_onto_finds_turned_and_mirrored_slices(flips, swap):
    directions = np.diag([*flips, 1.0]) * (0.9, 1.2, 2.0)
    affine = np.eye(4)
    affine[:3, :3] = directions[:, [1, 0, 2]] if swap else directions
    image = picture(affine=affine)
    np.testing.assert_allclose(onto(orient(image), image).values, image.values, atol=1e-6)


def test_onto_itself_changes_nothing():
    image = picture()
    np.testing.assert_allclose(onto(image, image).values, image.values, atol=1e-6)


def test_onto_pads_outside_of_the_source():
    image = picture((1, 40, 40), np.eye(4))
    back = onto(to_spacing(image, 20, 1.0), image)
    np.testing.assert_allclose(back.values[0, 10:30, 10:30], image.values[0, 10:30, 10:30])
    outside = np.ones((40, 40), bool)
    outside[10:30, 10:30] = False
    np.testing.assert_array_equal(back.values[0][outside], -1000)


def test_a_derived_series_has_the_geometry_of_its_source(tmp_path):
    source = read_dicom(sample_path("sts-044"))
    result = onto(fill(source, 256), source)
    write_dicom(result, tmp_path / "out", description="test")
    written = read_dicom(tmp_path / "out")
    np.testing.assert_allclose(written.affine, source.affine, atol=1e-6)
    assert written.values.shape == source.values.shape
    first = pydicom.dcmread(next((tmp_path / "out").iterdir()), stop_before_pixels=True)
    assert first.PatientID == "sts-044"
    # bone and air are where they were
    assert np.corrcoef(written.values.ravel(), source.values.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (((2, 3), 1.0), "1 slices or pixels apart"),  # the next plane
        (((2, 2), 0.5), "slices or pixels apart"),  # other distances of the slices
        (((2, 0), 0.01), "slices or pixels apart"),  # tilted along the columns
        (((0, 2), 0.3), "slices or pixels apart"),  # sheared
    ],
)
def test_onto_refuses_other_planes(change, message):
    image, affine = picture((2, 10, 10), np.eye(4)), np.eye(4)
    affine[change[0]] += change[1]
    with pytest.raises(ValueError, match=message):
        onto(picture((2, 10, 10), affine), image)


def test_onto_refuses_other_slices():
    with pytest.raises(ValueError, match="onto: expected 2 slices, got 1"):
        onto(picture().middle(), picture())


@pytest.mark.parametrize("size", [0, -3])
def test_sizes_are_positive(size):
    with pytest.raises(ValueError, match=f"fill: expected a size of 1 or more, got {size}"):
        fill(picture(), size)
    with pytest.raises(ValueError, match=f"to_spacing: expected a size of 1 or more, got {size}"):
        to_spacing(picture(), size, 1.0)


@pytest.mark.parametrize("pixel", [0.0, -1.0, float("nan"), float("inf")])
def test_pixels_are_positive(pixel):
    with pytest.raises(ValueError, match=f"expected a positive pixel in mm, got {pixel}"):
        to_spacing(picture(), 10, pixel)
