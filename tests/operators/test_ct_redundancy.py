import dataclasses
import math

import numpy as np
import pytest

from operators import FanGeometry, ParallelGeometry, parker_weights
from operators.ct.redundancy import (
    missing_elements,
    offset_weights,
    redundancy_weights,
    scan_arc,
)

# views per half turn: the conjugate of a view at half a step from the next is a view again
HALF_TURN = 60
STEP = math.pi / HALF_TURN
ELEMENTS = 31
# views over pi and the fan
SHORT = HALF_TURN + (ELEMENTS - 1) // 2
FAN = {"source_to_axis": 100.0, "source_to_detector": 160.0}


def equiangular(num_views, *, elements=ELEMENTS, offset=0.0):
    """A curved detector whose elements are half a view step apart."""
    spacing = FAN["source_to_detector"] * STEP / 2
    angles = 0.3 + np.arange(num_views) * STEP
    return FanGeometry(tuple(angles), elements, spacing, offset * spacing, detector="curved", **FAN)


def conjugate_sums(weights, fan_steps):
    """Sum of a weight and that of the same line seen from the other side, if it is measured.

    The ray of fan angle g in view b runs backwards in view b + pi - 2 g at fan angle -g.
    """
    (views, elements), found = weights.shape, {int(g): d for d, g in enumerate(fan_steps)}
    sums = weights.copy()
    for view in range(views):
        for d in range(elements):
            g = int(fan_steps[d])
            for turn in (-HALF_TURN, HALF_TURN):
                other = view + turn - g
                if 0 <= other < views and -g in found:
                    sums[view, d] += weights[other, found[-g]]
    return sums


STEPS = np.arange(ELEMENTS) - (ELEMENTS - 1) // 2


@pytest.mark.parametrize("extra", [0, 1, 17, 40])
@pytest.mark.parametrize("order", [1, -1], ids=["forwards", "backwards"])
def test_parker_weights_sum_to_one_over_both_views_of_a_line(extra, order):
    geometry = equiangular(SHORT + extra)
    weights = parker_weights(dataclasses.replace(geometry, angles=geometry.angles[::order]))
    sums = conjugate_sums(weights[::order], STEPS)
    np.testing.assert_allclose(sums, 1, atol=1e-12)
    assert (weights >= 0).all()


def test_parker_weights_of_a_flat_detector_sum_to_one():
    """By interpolation between views, as flat elements have no conjugate element in a view."""
    flat = FanGeometry((0.0,), 41, 3.0, **FAN).short_scan(4000)
    weights, angles, fan = parker_weights(flat), np.array(flat.angles), flat.fan_angles()
    for d in range(41):
        other = angles + math.pi - 2 * fan[d]
        seen = other <= angles[-1]
        assert seen.any()
        pair = weights[seen, d] + np.interp(other[seen], angles, weights[:, -1 - d])
        # linear interpolation of weights that rise within twenty views at the outermost element
        np.testing.assert_allclose(pair, 1, atol=2e-3)


def test_parker_weights_fade_at_both_ends():
    weights = parker_weights(equiangular(SHORT))
    middle = weights[:, ELEMENTS // 2]
    assert middle[[0, -1]].max() < 0.02
    np.testing.assert_allclose(weights[SHORT // 2], 1)


def test_parker_weights_of_parallel_rays_are_a_trapezoid_rule():
    """Views over pi with both ends: the first and the last are the same lines."""
    geometry = ParallelGeometry(tuple(np.linspace(0, math.pi, 10)), 3, 1.0)
    weights = parker_weights(geometry)
    np.testing.assert_allclose(weights[[0, -1]], 0.5)
    np.testing.assert_allclose(weights[1:-1], 1)


@pytest.mark.parametrize("views", [30, HALF_TURN, HALF_TURN + 12])
def test_limited_weights_sum_to_one(views):
    geometry = equiangular(views)
    np.testing.assert_allclose(conjugate_sums(redundancy_weights(geometry), STEPS), 1, atol=1e-12)


@pytest.mark.parametrize("offset", [0.0, 0.5, 8.0, 14.0, -9.0, 40.0])
def test_offset_weights_sum_to_one_over_both_sides(offset):
    geometry = equiangular(2 * HALF_TURN, offset=offset)
    weights, distance = offset_weights(geometry), geometry.axis_distances()
    order = np.argsort(distance)
    # lines at -d are those at d half a turn later; beyond the detector nothing is measured
    mirrored = np.interp(-distance, distance[order], weights[order], left=0, right=0)
    seen = (-distance >= distance.min()) & (-distance <= distance.max())
    np.testing.assert_allclose((weights + mirrored)[seen], 1, atol=1e-9)
    np.testing.assert_allclose(weights[~seen], 1)


def test_a_centred_full_turn_counts_every_ray_half():
    np.testing.assert_allclose(redundancy_weights(equiangular(2 * HALF_TURN)), 0.5)
    quarter = offset_weights(equiangular(2 * HALF_TURN, offset=0.25))
    np.testing.assert_allclose(quarter[1:-1], 0.5)


def test_parallel_views_over_pi_or_less_count_once():
    for arc in (math.pi, 2.0):
        geometry = ParallelGeometry(tuple(np.arange(20) * arc / 20), 5, 1.0)
        np.testing.assert_allclose(redundancy_weights(geometry), 1)


def test_arcs():
    def parallel(*angles):
        return ParallelGeometry(angles, 3, 1.0)

    assert scan_arc(parallel(0.0, 0.1, 0.2)) == pytest.approx(0.3)
    assert scan_arc(parallel(0.2, 0.0, 0.1)) == pytest.approx(0.3)  # in any order
    assert scan_arc(parallel(*np.arange(50) * 2.4)) == pytest.approx(2 * math.pi)
    # uneven views: as many as there are fill the range in which every line is seen
    assert scan_arc(parallel(0.0, 0.1, 0.9)) == pytest.approx(math.pi)
    assert scan_arc(parallel(0.7)) == pytest.approx(math.pi)
    assert scan_arc(parallel(0.0, 0.1, 4.9)) == pytest.approx(2 * math.pi)
    assert scan_arc(FanGeometry((0.0, 0.1, 0.9), 3, 1.0, **FAN)) == pytest.approx(2 * math.pi)


def test_missing_elements_make_a_detector_symmetric():
    assert missing_elements(equiangular(2 * HALF_TURN)) == (0, 0)
    assert missing_elements(equiangular(2 * HALF_TURN, offset=6)) == (12, 0)
    assert missing_elements(equiangular(2 * HALF_TURN, offset=-6)) == (0, 12)
    assert missing_elements(equiangular(HALF_TURN, offset=6)) == (0, 0)


def test_parker_needs_pi_and_the_fan():
    with pytest.raises(ValueError, match=r"a short scan needs an arc of 3\.92\d* radians, got"):
        parker_weights(equiangular(SHORT - 1))
