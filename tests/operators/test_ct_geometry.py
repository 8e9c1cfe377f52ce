import math

import numpy as np
import pytest

from operators import FanBeam2D, FanGeometry, ImageGrid, ParallelGeometry

GRID = ImageGrid((4, 6), (2.0, 0.5))
FAN = {"source_to_axis": 30.0, "source_to_detector": 45.0}


def test_x_runs_right_and_y_runs_up():
    x, y = GRID.coordinates()
    np.testing.assert_allclose(x, [-1.25, -0.75, -0.25, 0.25, 0.75, 1.25])
    np.testing.assert_allclose(y, [3, 1, -1, -3])
    assert GRID.diagonal == pytest.approx(math.hypot(8, 3))


def test_detector_positions_are_centred_and_shifted():
    geometry = ParallelGeometry((0.0,), 4, 0.5, detector_offset=0.1)
    np.testing.assert_allclose(geometry.detector_positions(), [-0.65, -0.15, 0.35, 0.85])
    assert geometry.shape == (1, 4)


def test_parallel_rays_at_zero_run_up():
    """At angle 0 the detector lies along x, and a quarter turn later along y."""
    points, directions = ParallelGeometry((0.0, math.pi / 2), 3, 2.0).rays()
    np.testing.assert_allclose(points[0], [[-2, 0], [0, 0], [2, 0]], atol=1e-15)
    np.testing.assert_allclose(directions[0], [[0, 1]] * 3, atol=1e-15)
    np.testing.assert_allclose(points[1], [[0, -2], [0, 0], [0, 2]], atol=1e-15)
    np.testing.assert_allclose(directions[1], [[-1, 0]] * 3, atol=1e-15)


def test_fan_rays_join_the_source_below_to_the_detector_above():
    sources, directions = FanGeometry((0.0,), 3, 10.0, **FAN).rays()
    np.testing.assert_allclose(sources[0], [[0, -30]] * 3, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1)
    ends = sources[0] + directions[0] * (45 / directions[0, :, 1:])
    np.testing.assert_allclose(ends, [[-10, 15], [0, 15], [10, 15]], atol=1e-12)


def test_magnification_is_that_of_similar_triangles():
    assert FanGeometry((0.0,), 3, 1.0, **FAN).magnification == pytest.approx(1.5)


@pytest.mark.parametrize("shape", [(9, 9), (4, 17), (1, 1)])
@pytest.mark.parametrize("pixel_size", [(1.0, 1.0), (0.4, 1.7)])
def test_covering_detectors_see_every_corner(shape, pixel_size):
    grid = ImageGrid(shape, pixel_size)
    height, width = (n * p / 2 for n, p in zip(shape, pixel_size, strict=True))
    corners = np.array([(sx * width, sy * height) for sx in (-1, 1) for sy in (-1, 1)])
    distances = {"source_to_axis": 2 * grid.diagonal, "source_to_detector": 3 * grid.diagonal}
    fan = FanGeometry.covering(grid, 24, **distances)
    parallel = ParallelGeometry.covering(grid, 24)
    for geometry, reach in ((parallel, math.inf), (fan, fan.source_to_axis)):
        half = geometry.num_detectors * geometry.detector_spacing / 2
        for angle in geometry.angles:
            along = corners @ (math.cos(angle), math.sin(angle))
            depth = corners @ (-math.sin(angle), math.cos(angle))
            scale = getattr(geometry, "source_to_detector", 1.0)
            seen = along if reach == math.inf else along * scale / (reach + depth)
            assert (np.abs(seen) <= half + 1e-9).all()


def test_covering_views_are_equally_spaced():
    np.testing.assert_allclose(ParallelGeometry.covering(GRID, 4).angles, np.arange(4) * np.pi / 4)
    half = FanGeometry.covering(GRID, 2, math.pi, **FAN)
    np.testing.assert_allclose(half.angles, [0, math.pi / 2])


@pytest.mark.parametrize(
    ("shape", "pixel_size", "message"),
    [
        ((4, 0), (1, 1), r"image shape must be \(rows, columns\), got \(4, 0\)"),
        ((4, 4, 4), (1, 1), "image shape"),
        ((4, 4), (1, 0), r"two positive lengths, got \(1, 0\)"),
        ((4, 4), (-1, 1), "two positive lengths"),
        ((4, 4), (1, math.nan), "two positive lengths"),
        ((4, 4), (math.inf, 1), "two positive lengths"),
        ((4, 4), (1,), "two positive lengths"),
    ],
)
def test_grids_that_cannot_be(shape, pixel_size, message):
    with pytest.raises(ValueError, match=message):
        ImageGrid(shape, pixel_size)


@pytest.mark.parametrize("kind", [ParallelGeometry, FanGeometry])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((), 3, 1.0), "angles must be finite and at least one"),
        (((0.0, math.nan), 3, 1.0), "angles must be finite"),
        (((math.inf,), 3, 1.0), "angles must be finite"),
        (((0.0,), 0, 1.0), "num_detectors must be positive, got 0"),
        (((0.0,), 3, 0.0), "detector_spacing must be positive, got 0.0"),
        (((0.0,), 3, -1.0), "detector_spacing must be positive"),
        (((0.0,), 3, math.nan), "detector_spacing must be positive"),
        (((0.0,), 3, math.inf), "detector_spacing must be positive"),
        (((0.0,), 3, 1.0, math.nan), "detector_offset must be finite, got nan"),
    ],
)
def test_detectors_that_cannot_be(kind, arguments, message):
    distances = FAN if kind is FanGeometry else {}
    with pytest.raises(ValueError, match=message):
        kind(*arguments, **distances)


@pytest.mark.parametrize("distances", [(0, 10), (-5, 10), (20, 10), (math.nan, 10), (5, math.inf)])
def test_axis_lies_between_source_and_detector(distances):
    with pytest.raises(ValueError, match="expected 0 < source_to_axis <= source_to_detector"):
        FanGeometry((0.0,), 3, 1.0, source_to_axis=distances[0], source_to_detector=distances[1])


@pytest.mark.parametrize("num_views", [0, -2])
def test_covering_needs_a_view(num_views):
    with pytest.raises(ValueError, match=f"num_views must be positive, got {num_views}"):
        ParallelGeometry.covering(GRID, num_views)
    with pytest.raises(ValueError, match=f"num_views must be positive, got {num_views}"):
        FanGeometry.covering(GRID, num_views, **FAN)


def test_source_inside_the_image_is_refused():
    close = {"source_to_axis": 4.0, "source_to_detector": 9.0}
    with pytest.raises(ValueError, match=r"source is 4\.0 mm from the axis, inside the image"):
        FanGeometry.covering(GRID, 3, **close)
    with pytest.raises(ValueError, match=r"source is 4\.0 mm from the axis, inside the image"):
        FanBeam2D(GRID, FanGeometry((0.0,), 3, 1.0, **close))
