import numpy as np
import pytest

from invdiff.data import Image

VALUES = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
AFFINE = np.array([[-0.5, 0, 0, 7], [0, -0.25, 0, 8], [0, 0, 3.0, 9], [0, 0, 0, 1]])


def test_spacing_follows_the_axes_of_the_values():
    assert Image(VALUES, AFFINE).spacing == (3.0, 0.25, 0.5)


def test_slice_keeps_its_place(world):
    image = Image(VALUES, AFFINE, template=("a", "b"))
    part = image.slice(1)
    np.testing.assert_array_equal(part.values[0], VALUES[1])
    np.testing.assert_allclose(world(part, 0, 2, 3), world(image, 1, 2, 3))
    assert part.template == ("b",)
    np.testing.assert_array_equal(image.affine, AFFINE)


def test_middle_is_the_slice_at_half_the_count():
    np.testing.assert_array_equal(Image(VALUES, AFFINE).middle().values[0], VALUES[1])


@pytest.mark.parametrize("index", [-1, 2])
def test_slice_out_of_range_is_refused(index):
    with pytest.raises(ValueError, match=f"expected 0 to 1, got {index}"):
        Image(VALUES, AFFINE).slice(index)


def test_replaced_keeps_everything_but_the_values():
    image = Image(VALUES, AFFINE, "CT", "HU")
    result = image.replaced(VALUES.astype(np.float64) + 1)
    assert (result.modality, result.unit, result.values.dtype) == ("CT", "HU", np.float32)
    np.testing.assert_array_equal(result.values, VALUES + 1)
    with pytest.raises(ValueError, match="expected shape"):
        image.replaced(VALUES[:1])


def test_not_finite_values_are_named_by_position():
    values = VALUES.copy()
    values[1, 2, 0] = np.nan
    with pytest.raises(ValueError, match=r"nan at \(slice 1, row 2, col 0\); 1 of 24"):
        Image(values, AFFINE)


@pytest.mark.parametrize("values", [VALUES[0], VALUES.astype(np.float64), VALUES[:0]])
def test_wrong_values_are_refused(values):
    with pytest.raises(ValueError, match=r"expected float32 values of shape \(slices, rows, cols"):
        Image(values, AFFINE)


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (np.eye(3), "shape"),
        (np.diag([1.0, 1, 0, 1]), "independent"),
        (np.diag([1.0, 1, np.inf, 1]), "finite"),
        (np.diag([1.0, 1, 1, 2]), "last row"),
        (np.array([[1.0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "independent"),
    ],
)
def test_wrong_affine_is_refused(affine, message):
    with pytest.raises(ValueError, match=f"affine.*{message}"):
        Image(VALUES, affine)
