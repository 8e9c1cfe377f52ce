import dataclasses
import math

import numpy as np
import pytest

from operators import (
    ConeGeometry,
    ParallelGeometry,
    ParallelGeometry3D,
    ScanVectors,
    VectorGeometry3D,
    VolumeGrid,
    from_astra_vectors,
    to_astra_vectors,
)
from tests.operators.scan_phantoms import chords, vector_rays

GRID = VolumeGrid((10, 12, 14), (0.8, 1.0, 1.1))
ANGLES = (0.0, 0.7, 2.9, 4.0)
CONE = {"source_to_axis": 30.0, "source_to_detector": 45.0}
# a panel of 3 x 5 elements, its pitch and its shift different along both axes
PANEL = {"detector_shape": (3, 5), "detector_spacing": (2.0, 1.5), "detector_offset": (0.6, -1.1)}
GEOMETRIES = {
    "parallel": ParallelGeometry3D(ANGLES, **PANEL, detector_tilt=0.2),
    "cone": ConeGeometry(ANGLES, **PANEL, **CONE),
    "tilted": ConeGeometry(ANGLES, **PANEL, detector_tilt=-0.3, **CONE),
    "helix": ConeGeometry(ANGLES, **PANEL, pitch=7.0, axial_position=-2.0, **CONE),
}
EVERY = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())


def test_parallel_rays_are_those_of_every_slice():
    flat = ParallelGeometry(ANGLES, 5, 1.5, -1.1)
    points, directions = vector_rays(ParallelGeometry3D(ANGLES, **PANEL).vectors())
    flat_points, flat_directions = flat.rays()
    for row, z in enumerate((-1.4, 0.6, 2.6)):
        np.testing.assert_allclose(points[:, row, :, :2], flat_points, atol=1e-12)
        np.testing.assert_allclose(points[:, row, :, 2], z)
        np.testing.assert_allclose(directions[:, row, :, :2], flat_directions, atol=1e-12)
        np.testing.assert_allclose(directions[:, row, :, 2], 0)


def test_cone_at_zero_is_a_source_in_front_and_a_panel_behind():
    scan = ConeGeometry((0.0, math.pi / 2), **PANEL, **CONE).vectors()
    np.testing.assert_allclose(scan.emitter, [[0, -30, 0], [30, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(scan.centre, [[-1.1, 15, 0.6], [-15, -1.1, 0.6]], atol=1e-12)
    np.testing.assert_allclose(scan.u, [[1.5, 0, 0], [0, 1.5, 0]], atol=1e-12)
    np.testing.assert_allclose(scan.v, [[0, 0, 2], [0, 0, 2]], atol=1e-12)


def test_the_midplane_is_a_fan():
    cone = ConeGeometry(ANGLES, (3, 5), (2.0, 1.5), (0.0, -1.1), **CONE)
    _, directions = vector_rays(cone.vectors())
    _, expected = cone.midplane().rays()
    np.testing.assert_allclose(directions[:, 1, :, :2], expected, atol=1e-12)


def test_a_tilt_turns_the_panel_about_the_central_ray():
    """Counter-clockwise from the source: at angle 0 its right end moves up."""
    upright = ConeGeometry((0.0,), **PANEL, **CONE)
    tilted = dataclasses.replace(upright, detector_tilt=math.pi / 2).vectors()
    np.testing.assert_allclose(tilted.u, [[0, 0, 1.5]], atol=1e-12)
    np.testing.assert_allclose(tilted.v, [[-2, 0, 0]], atol=1e-12)
    # the shift goes along the detector's own axes
    np.testing.assert_allclose(tilted.centre, [[-0.6, 15, -1.1]], atol=1e-12)


@pytest.mark.parametrize("pitch", [7.0, -3.5])
def test_a_helix_climbs_its_pitch_in_a_turn(pitch):
    angles = tuple(np.arange(25) * math.pi / 6)
    helix = ConeGeometry(angles, **PANEL, pitch=pitch, axial_position=4.0, **CONE)
    scan, circle = helix.vectors(), dataclasses.replace(helix, pitch=0.0).vectors()
    np.testing.assert_allclose(np.diff(scan.emitter[::12, 2]), pitch)
    assert scan.emitter[12, 2] == pytest.approx(4.0)  # the middle of the scan
    # the detector climbs with the source
    np.testing.assert_allclose(
        scan.centre[:, 2] - circle.centre[:, 2], scan.emitter[:, 2] - circle.emitter[:, 2]
    )


def test_ball_gives_its_chords():
    """The distance of a ray from a ball's centre, by the textbook angles of the cone."""
    centre, radius = np.array([2.0, -1.5, 1.0]), 6.0
    cone = ConeGeometry(ANGLES, (9, 11), (1.5, 1.2), (0.4, 0.9), **CONE)
    actual = chords(*vector_rays(cone.vectors()), radius, centre)
    v, u = cone.detector_positions()
    for view, angle in enumerate(ANGLES):
        across = centre[0] * math.cos(angle) + centre[1] * math.sin(angle)
        depth = centre[1] * math.cos(angle) - centre[0] * math.sin(angle)
        ray = np.stack(np.broadcast_arrays(u, 45.0, v[:, None]), -1)
        ray = ray / np.linalg.norm(ray, axis=-1, keepdims=True)
        apart = np.linalg.norm(np.cross(ray, [across, 30.0 + depth, centre[2]]), axis=-1)
        expected = 2 * np.sqrt(np.maximum(radius**2 - apart**2, 0))
        np.testing.assert_allclose(actual[view], expected, atol=1e-12)
    assert (actual > 0).any()


def corners(grid):
    half = [n * p / 2 for n, p in zip(grid.shape, grid.voxel_size, strict=True)]
    z, y, x = (np.array([-h, h]) for h in half)
    return np.stack(np.meshgrid(x, y, z), -1).reshape(-1, 3)


def shadows(scan: ScanVectors, points):
    """Column and row, in elements from the detector's centre, where points are seen."""
    seen = []
    for view in range(len(scan.emitter)):
        source, centre = scan.emitter[view], scan.centre[view]
        for point in points:
            way = source if scan.kind == "parallel" else point - source
            origin = point if scan.kind == "parallel" else source
            system = np.stack([scan.u[view], scan.v[view], -way], 1)
            seen.append(np.linalg.solve(system, origin - centre)[:2])
    return np.abs(seen)


@pytest.mark.parametrize("kind", ["parallel", "cone"])
def test_covering_sees_every_corner(kind):
    geometry = (
        ParallelGeometry3D.covering(GRID, 9)
        if kind == "parallel"
        else ConeGeometry.covering(GRID, 9, **CONE)
    )
    rows, columns = geometry.detector_shape
    seen = shadows(geometry.vectors(), corners(GRID))
    assert seen[:, 0].max() <= columns / 2 + 1e-9
    assert seen[:, 1].max() <= rows / 2 + 1e-9
    assert geometry.shape == (9, rows, columns)


def test_a_short_scan_turns_by_pi_and_the_fan():
    geometry = ConeGeometry.covering(GRID, 9, **CONE)
    short = geometry.short_scan(40, start=0.1)
    assert short.angles == geometry.midplane().short_scan(40, start=0.1).angles
    assert short.detector_shape == geometry.detector_shape


def test_a_helix_sees_every_voxel_over_half_a_turn():
    """Points of the cylinder about the volume are in sight from at least pi of the helix."""
    helix = ConeGeometry.helical(GRID, 90, 5.0, **CONE)
    np.testing.assert_allclose(np.diff(helix.angles), 2 * math.pi / 90)
    rows, columns = helix.detector_shape
    around = np.arange(6) * math.pi / 3
    for z in (-GRID.height / 2, 0.0, GRID.height / 2):
        rim = np.stack([np.cos(around), np.sin(around), np.full(6, z) / GRID.radius], -1)
        seen = shadows(helix.vectors(), rim * GRID.radius).reshape(-1, 6, 2)
        assert seen[..., 0].max() <= columns / 2 + 1e-9
        views = (seen[..., 1] <= rows / 2).sum(0)
        assert views.min() >= 45


@EVERY
def test_astra_vectors_come_back(geometry):
    vectors = to_astra_vectors(geometry)
    assert vectors.shape == (4, 12)
    scan = geometry.vectors()
    back = from_astra_vectors(vectors, (3, 5), scan.kind)
    assert isinstance(back, VectorGeometry3D)
    for name in ("emitter", "centre", "u", "v"):
        np.testing.assert_array_equal(getattr(back.vectors(), name), getattr(scan, name))
    assert back.shape == geometry.shape


def test_vectors_are_those_of_astra():
    astra = pytest.importorskip("astra")
    cone = ConeGeometry(ANGLES, (3, 5), (2.0, 1.5), **CONE)
    parallel = ParallelGeometry3D(ANGLES, (3, 5), (2.0, 1.5))
    # ASTRA takes the spacing of columns first, then of rows
    theirs = [
        astra.create_proj_geom("cone", 1.5, 2.0, 3, 5, np.array(ANGLES), 30.0, 15.0),
        astra.create_proj_geom("parallel3d", 1.5, 2.0, 3, 5, np.array(ANGLES)),
    ]
    cone_vectors, parallel_vectors = (astra.geom_2vec(g)["Vectors"] for g in theirs)
    np.testing.assert_allclose(to_astra_vectors(cone), cone_vectors, atol=1e-12)
    # ASTRA's parallel rays run the other way, along the same lines
    sign = np.array([-1] * 3 + [1] * 9)
    np.testing.assert_allclose(to_astra_vectors(parallel), sign * parallel_vectors, atol=1e-12)


@pytest.mark.parametrize("kind", [ParallelGeometry3D, ConeGeometry])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"angles": ()}, "angles must be finite and at least one"),
        ({"angles": (math.nan,)}, "angles must be finite"),
        ({"detector_shape": (3, 0)}, r"detector must be \(rows, columns\), got \(3, 0\)"),
        ({"detector_shape": (3,)}, r"detector must be \(rows, columns\)"),
        ({"detector_spacing": (1.0, 0.0)}, "detector_spacing must be two positive lengths"),
        ({"detector_spacing": (1.0,)}, "detector_spacing must be two positive lengths"),
        ({"detector_offset": (0.0, math.inf)}, "detector_offset must be two finite lengths"),
        ({"detector_tilt": math.nan}, "detector_tilt must be finite, got nan"),
    ],
)
def test_panels_that_cannot_be(kind, change, message):
    fields = {"angles": ANGLES, **PANEL} | (CONE if kind is ConeGeometry else {})
    with pytest.raises(ValueError, match=message):
        kind(**(fields | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source_to_axis": 50.0}, "expected 0 < source_to_axis <= source_to_detector"),
        ({"pitch": math.inf}, "pitch must be finite, got inf"),
        ({"axial_position": math.nan}, "axial_position must be finite, got nan"),
    ],
)
def test_cones_that_cannot_be(change, message):
    with pytest.raises(ValueError, match=message):
        ConeGeometry(ANGLES, **PANEL, **(CONE | change))


def test_coverings_that_cannot_be():
    close = {"source_to_axis": 9.0, "source_to_detector": 45.0}
    with pytest.raises(ValueError, match="inside the volume, which reaches"):
        ConeGeometry.covering(GRID, 3, **close)
    with pytest.raises(ValueError, match="inside the volume, which reaches"):
        ConeGeometry.helical(GRID, 30, 5.0, **close)
    for views, pitch in ((0, 5.0), (30, 0.0), (30, math.inf)):
        with pytest.raises(ValueError, match="views_per_turn >= 1 and a pitch other than 0"):
            ConeGeometry.helical(GRID, views, pitch, **CONE)
    with pytest.raises(ValueError, match="num_views must be positive, got 0"):
        ParallelGeometry3D.covering(GRID, 0)
