import dataclasses
import math

import numpy as np
import pytest

from operators import FanBeam2D, FanGeometry, ImageGrid, ParallelGeometry
from tests.operators.ct_phantoms import disc_image, mean_error
from tests.operators.scan_phantoms import chords

FAN = {"source_to_axis": 30.0, "source_to_detector": 45.0}
GRID = ImageGrid((24, 20))
TILT = 0.3


def hits(geometry, angle):
    """Detector elements of a flat, tilted panel: a drawing, not the fan angles."""
    across = np.array([math.cos(angle), math.sin(angle)])
    forward = np.array([-math.sin(angle), math.cos(angle)])
    along = math.cos(geometry.detector_tilt) * across + math.sin(geometry.detector_tilt) * forward
    foot = (geometry.source_to_detector - geometry.source_to_axis) * forward
    return foot + geometry.detector_positions()[:, None] * along


@pytest.mark.parametrize("tilt", [0.0, TILT, -0.7])
def test_rays_of_a_tilted_panel_meet_its_elements(tilt):
    geometry = FanGeometry((0.0, 2.2), 9, 2.0, 1.5, detector_tilt=tilt, **FAN)
    sources, directions = geometry.rays()
    np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1)
    for view, angle in enumerate(geometry.angles):
        to_element = hits(geometry, angle) - sources[view]
        distance = np.linalg.norm(to_element, axis=-1, keepdims=True)
        np.testing.assert_allclose(directions[view], to_element / distance, atol=1e-12)


def test_a_tilt_turns_the_panel_counter_clockwise():
    """At angle 0 the right end of the detector moves away from the source, that is up."""
    elements = hits(FanGeometry((0.0,), 3, 10.0, detector_tilt=0.2, **FAN), 0.0)
    assert elements[2, 1] > elements[1, 1] > elements[0, 1]


def test_curved_rays_leave_at_equal_angles():
    geometry = FanGeometry((0.0,), 5, 4.5, 4.5, detector="curved", **FAN)
    np.testing.assert_allclose(geometry.fan_angles(), [-0.1, 0.0, 0.1, 0.2, 0.3], atol=1e-15)
    _, directions = geometry.rays()
    expected = [(math.sin(a), math.cos(a)) for a in (-0.1, 0.0, 0.1, 0.2, 0.3)]
    np.testing.assert_allclose(directions[0], expected, atol=1e-15)


@pytest.mark.parametrize("detector", ["flat", "curved"])
def test_distances_from_the_axis_are_those_of_the_rays(detector):
    geometry = FanGeometry((0.4,), 7, 3.0, 1.0, detector=detector, **FAN)
    points, directions = geometry.rays()
    expected = points[..., 0] * directions[..., 1] - points[..., 1] * directions[..., 0]
    np.testing.assert_allclose(geometry.axis_distances(), expected[0], atol=1e-12)


@pytest.mark.parametrize(
    "kind",
    [{}, {"detector": "curved"}, {"detector_tilt": TILT}, {"detector_tilt": -TILT}],
    ids=["flat", "curved", "tilted", "tilted-back"],
)
def test_covering_sees_the_circle_and_little_more(kind):
    geometry = FanGeometry.covering(GRID, 3, **FAN, **kind)
    needed = math.asin(GRID.diagonal / 2 / FAN["source_to_axis"])
    low, high = geometry.detector_positions()[[0, -1]]
    half = geometry.detector_spacing / 2
    edges = dataclasses.replace(geometry, num_detectors=2, detector_spacing=high - low + 2 * half)
    reached = edges.fan_angles()
    assert reached[0] <= -needed
    assert reached[1] >= needed
    # one of the two ends is no more than an element beyond
    smaller = dataclasses.replace(edges, detector_spacing=edges.detector_spacing - 4 * half)
    assert np.abs(smaller.fan_angles()).min() < needed


@pytest.mark.parametrize("detector", ["flat", "curved"])
def test_field_of_view_is_the_disc_that_is_seen(detector):
    geometry = FanGeometry.covering(GRID, 3, detector=detector, **FAN).with_field_of_view(16.0)
    widest = np.abs(geometry.axis_distances()).max()
    step = geometry.detector_spacing / geometry.magnification
    assert 8 - step < widest <= 8
    parallel = ParallelGeometry.covering(GRID, 3).with_field_of_view(7.5)
    assert parallel.num_detectors == 8


def test_limited_angles_start_where_they_should():
    fan = FanGeometry.covering(GRID, 4, 1.0, start=0.5, **FAN)
    np.testing.assert_allclose(fan.angles, [0.5, 0.75, 1.0, 1.25])
    parallel = ParallelGeometry.covering(GRID, 2, 1.0, start=-0.5)
    np.testing.assert_allclose(parallel.angles, [-0.5, 0.0])


def test_a_short_scan_turns_by_pi_and_the_fan():
    geometry = FanGeometry.covering(GRID, 10, detector="curved", **FAN)
    width = geometry.num_detectors * geometry.detector_spacing / FAN["source_to_detector"]
    short = geometry.short_scan(50, start=0.2)
    np.testing.assert_allclose(short.angles[0], 0.2)
    np.testing.assert_allclose(np.diff(short.angles), (math.pi + width) / 50)


@pytest.mark.parametrize(
    "kind", [{"detector": "curved"}, {"detector_tilt": TILT}], ids=["curved", "tilted"]
)
def test_disc_gives_its_chords(kind):
    grid = ImageGrid((90, 80), (1.0, 1.2))
    geometry = FanGeometry.covering(grid, 7, source_to_axis=180.0, source_to_detector=300.0, **kind)
    centre = (5.0, -7.0)
    actual = FanBeam2D(grid, geometry)(disc_image(grid, 30.0, centre))
    expected = chords(*geometry.rays(), 30.0, centre)
    # the edge of the disc is smeared over a pixel, 1/30 of its radius
    assert mean_error(actual, expected) < 0.01


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"detector": "round"}, "detector must be flat or curved, got 'round'"),
        ({"detector_tilt": math.pi / 2}, "detector_tilt must be below pi / 2"),
        ({"detector_tilt": math.nan}, "detector_tilt must be below pi / 2, got nan"),
        ({"detector": "curved", "detector_tilt": 0.1}, "curved detector cannot be tilted"),
        ({"detector": "curved", "detector_spacing": 80.0}, "reaches round the source"),
        ({"detector_tilt": 1.5, "detector_spacing": 80.0}, "reaches round the source"),
    ],
)
def test_fans_that_cannot_be(change, message):
    fields = {"angles": (0.0,), "num_detectors": 3, "detector_spacing": 1.0, **FAN}
    with pytest.raises(ValueError, match=message):
        FanGeometry(**(fields | change))


def test_fields_of_view_that_cannot_be():
    fan, parallel = FanGeometry((0.0,), 3, 1.0, **FAN), ParallelGeometry((0.0,), 3, 1.0)
    for diameter in (0.0, -1.0, 60.0, math.nan):
        with pytest.raises(ValueError, match=r"field of view must be within \(0, 60\.0\) mm"):
            fan.with_field_of_view(diameter)
    for diameter in (0.0, math.inf):
        with pytest.raises(ValueError, match="field of view must be positive"):
            parallel.with_field_of_view(diameter)
    steep = FanGeometry((0.0,), 3, 1.0, detector_tilt=1.4, **FAN)
    with pytest.raises(ValueError, match="the detector misses the image"):
        steep.with_field_of_view(30.0)
