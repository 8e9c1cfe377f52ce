import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invdiff.data import Image, fit, orient

# each in-plane layout: swapped or not, either axis reversed or not
LAYOUTS = list(itertools.product([False, True], [1, -1], [1, -1]))
# (columns, rows, slices) of the display, in RAS
PLANES = {
    "axial": ([-1, 0, 0], [0, -1, 0], [0, 0, 1]),
    "coronal": ([-1, 0, 0], [0, 0, -1], [0, 1, 0]),
    "sagittal": ([0, -1, 0], [0, 0, -1], [1, 0, 0]),
}


def tilted(directions: np.ndarray) -> np.ndarray:
    """Turn about an oblique axis by 20 degrees, as a head lies in a scanner."""
    cross = np.array([[0, -3, 2], [3, 0, -1], [-2, 1, 0]]) / np.sqrt(14)
    turn = np.eye(3) + np.sin(0.35) * cross + (1 - np.cos(0.35)) * cross @ cross
    return turn @ directions


def placed(directions: np.ndarray, shape=(3, 5, 4), unit="HU") -> Image:
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    affine = np.eye(4)
    affine[:3, :3] = directions * (0.5, 0.75, 2.0)
    affine[:3, 3] = (11, -12, 13)
    return Image(values, affine, "CT", unit)


@pytest.mark.parametrize("tilt", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("plane", PLANES)
def test_orient_gives_the_display_and_keeps_world_coordinates(plane, layout, tilt, world):
    swap, flip_col, flip_row = layout
    wanted = np.array(PLANES[plane], dtype=float).T
    directions = wanted[:, [1, 0, 2]] if swap else wanted
    directions = directions * (flip_col, flip_row, 1)
    image = placed(tilted(directions) if tilt else directions)
    result = orient(image)

    unit = result.affine[:3, :3] / np.linalg.norm(result.affine[:3, :3], axis=0)
    np.testing.assert_allclose(unit, tilted(wanted) if tilt else wanted, atol=1e-12)
    assert result.values.flags.c_contiguous
    for s, r, c in [(0, 0, 0), (2, 4, 1), (1, 2, 3)]:
        mark = np.argwhere(result.values == image.values[s, r, c])[0]
        np.testing.assert_allclose(world(result, *mark), world(image, s, r, c), atol=1e-12)


def test_fit_pads_a_small_slice_without_touching_its_pixels(world):
    image = placed(np.diag([-1.0, -1.0, 1.0]))
    image = Image(image.values, np.diag([-0.5, -0.5, 2.0, 1.0]), "CT", "HU")
    result = fit(image, 9)
    assert result.values.shape == (3, 9, 9)
    assert result.spacing == (2.0, 0.5, 0.5)
    inside = result.values != -1000
    assert inside.sum() == image.values.size
    for value in image.values.ravel():
        new = np.argwhere(result.values == value)[0]
        old = np.argwhere(image.values == value)[0]
        np.testing.assert_array_equal(world(result, *new), world(image, *old))


def test_fit_to_the_present_size_changes_nothing():
    image = Image(np.random.default_rng(0).random((2, 7, 7), np.float32), np.eye(4))
    result = fit(image, 7)
    np.testing.assert_array_equal(result.values, image.values)
    np.testing.assert_array_equal(result.affine, image.affine)


def test_fit_averages_areas_when_the_factor_is_whole():
    values = np.random.default_rng(0).random((1, 8, 12), np.float32)
    result = fit(Image(values, np.eye(4)), 6)
    blocks = values.reshape(4, 2, 6, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(result.values[0, 1:5], blocks, rtol=1e-6)
    np.testing.assert_array_equal(result.values[0, [0, 5]], 0)
    # the centre of the first 2 x 2 block lies between its pixels
    np.testing.assert_allclose(result.affine @ (0, 1, 0, 1), (0.5, 0.5, 0, 1))


@given(
    rows=st.integers(3, 40),
    cols=st.integers(3, 40),
    size=st.integers(2, 30),
    row_mm=st.floats(0.3, 3),
    col_mm=st.floats(0.3, 3),
)
def test_fit_keeps_mass_and_world_coordinates(rows, cols, size, row_mm, col_mm):
    """The integral of a slice doesn't depend on the grid, and a ramp in the world stays one."""
    affine = np.array([[0, -row_mm, 0, 5], [col_mm, 0, 0, 6], [0, 0, 2, 7], [0, 0, 0, 1.0]])
    ramp = _ramp(affine, rows, cols)
    result = fit(Image((ramp + 1000)[None].astype(np.float32), affine), size)
    _, row, col = result.spacing
    assert result.values.shape == (1, size, size)
    # spacings within 1e-4 count as equal
    assert row == pytest.approx(col, rel=2e-4)
    assert row > max(row_mm, col_mm) * (1 - 2e-4)
    mass = (ramp + 1000).sum() * row_mm * col_mm
    np.testing.assert_allclose(result.values.astype(float).sum() * row * col, mass, rtol=3e-4)

    # the old pixels are steps of a stair: their mean is off a ramp by an eighth step at most,
    # where half a pixel of displacement would show as half a step
    step_bound = (3 * row_mm + 2 * col_mm) / 8 + 2e-3 * (rows * row_mm + cols * col_mm)
    off = np.abs(result.values[0] - 1000 - _ramp(result.affine, size, size))
    assert (off[_inside((rows, cols), affine, result)] < step_bound).all()


def _ramp(affine: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """Three times x plus twice y of the world, mm, at each voxel centre."""
    r, c = np.indices((rows, cols))
    points = affine @ np.stack([c.ravel(), r.ravel(), 0 * c.ravel(), 0 * c.ravel() + 1])
    return (3 * points[0] + 2 * points[1]).reshape(rows, cols)


def _inside(shape: tuple[int, int], affine: np.ndarray, result: Image) -> np.ndarray:
    """New pixels that lie in the old field with all their area."""
    size = result.values.shape[1]
    r, c = np.indices((size, size))
    to_old = np.linalg.inv(affine) @ result.affine
    inside = np.ones((size, size), bool)
    for axis, index, length in ((0, c, shape[1]), (1, r, shape[0])):
        centre = to_old[axis, axis] * index + to_old[axis, 3]
        half = to_old[axis, axis] / 2
        inside &= (centre - half > -0.5 - 1e-9) & (centre + half < length - 0.5 + 1e-9)
    return inside


def test_fit_fills_with_air_only_in_hounsfield_units():
    directions = np.diag([-1.0, -1.0, 1.0])
    assert fit(placed(directions), 30).values[0, 0, 0] == -1000
    assert fit(placed(directions, unit="arbitrary"), 30).values[0, 0, 0] == 0


def test_fit_of_a_constant_stays_constant_inside():
    image = Image(np.full((1, 50, 50), 40, np.float32), np.eye(4), "CT", "HU")
    np.testing.assert_allclose(fit(image, 17).values, 40, rtol=1e-6)


@pytest.mark.parametrize("size", [0, -3])
def test_fit_refuses_an_empty_grid(size):
    with pytest.raises(ValueError, match=f"got {size}"):
        fit(placed(np.eye(3)), size)
