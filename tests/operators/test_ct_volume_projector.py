import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import ConeBeam3D, ParallelBeam3D, ScanVectors, VolumeGrid, VolumeProjector
from operators.testing import dot_test, to_dense
from tests.operators.ct_phantoms import mean_error
from tests.operators.volume_scans import (
    WrittenOut,
    ball,
    chords,
    cone_scan,
    lines,
    parallel_scan,
    voxel_centres,
)

# of the mean chord; the surface of the ball is smeared over a voxel
BALL_TOLERANCE = 0.005
# two float64 computations of positions some tens of voxels from their origin
WEIGHT_TOLERANCE = 1e-11
ANGLES = tuple(np.linspace(0.1, 6.2, 7))
GRID = VolumeGrid((6, 7, 8), (1.1, 0.8, 0.9))
SCANS = {
    "parallel": parallel_scan(ANGLES, (7, 9)),
    "tilted": parallel_scan(ANGLES, (7, 9), tilt=0.6),
    "along-the-axis": parallel_scan(ANGLES, (7, 9), tilt=4.0),
    "cone": cone_scan(ANGLES, (7, 9), (1.4, 1.5), (12.0, 18.0)),
    "helix": cone_scan(ANGLES, (7, 9), (1.4, 1.5), (12.0, 18.0), pitch=3.0),
}
EVERY_SCAN = pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS)


@pytest.fixture
def threads():
    """Set the number of threads, and set it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def hat_weights(grid, scan):
    """Joseph's matrix from its definition, plane by plane with a hat about every voxel, dense."""
    point, direction = (v.reshape(-1, 3) for v in lines(scan))
    centres, size = voxel_centres(grid), np.array(grid.voxel_size[::-1])
    main = np.argmax(np.abs(direction / size), axis=1)
    matrix = np.zeros((len(point), math.prod(grid.shape)))
    for ray, axis in enumerate(main):
        reach = (centres[..., axis] - point[ray, axis]) / direction[ray, axis]
        crossing = point[ray] + reach[..., None] * direction[ray]
        hats = np.maximum(1 - np.abs(crossing - centres) / size, 0)
        matrix[ray] = (hats.prod(-1) * size[axis] / abs(direction[ray, axis])).ravel()
    return torch.from_numpy(matrix)


@EVERY_SCAN
def test_matrix_is_that_of_josephs_definition(scan):
    actual = to_dense(VolumeProjector(GRID, scan))
    torch.testing.assert_close(actual, hat_weights(GRID, scan), rtol=0, atol=WEIGHT_TOLERANCE)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    voxel_size=st.tuples(*[st.floats(0.3, 3)] * 3),
    kind=st.sampled_from(["parallel", "cone"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_matrix_for_any_placement(shape, voxel_size, kind, seed):
    """Sources and detectors anywhere, in any direction."""
    grid, rng = VolumeGrid(shape, voxel_size), np.random.default_rng(seed)
    reach = 2 * math.hypot(grid.radius, grid.height)
    emitter = rng.standard_normal((3, 3))
    emitter *= reach / np.linalg.norm(emitter, axis=1, keepdims=True)
    u = np.cross(emitter, rng.standard_normal((3, 3)))
    v = np.cross(emitter, u)
    u, v = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (u, v))
    scan = ScanVectors(kind, emitter, rng.uniform(-1, 1, (3, 3)) - emitter, u, v, (3, 4))
    expected = hat_weights(grid, scan)
    operator = VolumeProjector(grid, scan)
    torch.testing.assert_close(to_dense(operator), expected, rtol=0, atol=WEIGHT_TOLERANCE * reach)
    torch.testing.assert_close(
        to_dense(operator.H), expected.mT, rtol=0, atol=WEIGHT_TOLERANCE * reach
    )


@pytest.mark.parametrize("shift", [0.0, 0.5, 3.5, 4.0, 4.5])
def test_rays_on_borders_and_diagonals(shift):
    """Straight up, along borders of voxels, at the outermost hats, and at exactly 45 degrees."""
    grid = VolumeGrid((8, 8, 8))
    direction = np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 1, 0], [1, 0, -1], [1, 1, 1]])
    u, v = np.roll(direction, 1, axis=1), np.roll(direction, 2, axis=1)
    u[3:], v[3:] = [1, -1, 0], [[0, 0, 1], [0, 1, 0], [1, 1, -2]]
    centre = shift * (u + v)
    scan = ScanVectors("parallel", direction, centre, u, v, (2, 3))
    expected = hat_weights(grid, scan)[:18]  # of the last views, either axis is the main one
    actual = to_dense(VolumeProjector(grid, scan))
    torch.testing.assert_close(actual[:18], expected, rtol=0, atol=WEIGHT_TOLERANCE)
    sums = VolumeProjector(VolumeGrid((40, 40, 40)), scan)(torch.ones(40, 40, 40).double())
    lengths = torch.tensor([1, 1, 1, 2, 2, 3]).sqrt()[:, None, None]
    assert (sums / lengths - 40).abs().max() < 25  # all planes but those beyond the box
    torch.testing.assert_close(sums[:3], torch.full_like(sums[:3], 40.0))


@pytest.mark.parametrize("slope", [1e-300, 1e-20, 1e-17, 1e-9])
def test_rays_all_but_parallel_to_planes(slope):
    """They leave the volume after more planes than an integer can count."""
    grid = VolumeGrid((4, 4, 4))
    direction = np.array([[1.0, slope, -slope], [-slope, 1.0, slope], [slope, slope, -1.0]])
    u, v = np.roll(np.eye(3), 1, axis=1), np.roll(np.eye(3), 2, axis=1)
    scan = ScanVectors("parallel", direction, np.full((3, 3), 0.2), u, v, (3, 3))
    actual = to_dense(VolumeProjector(grid, scan))
    torch.testing.assert_close(actual, hat_weights(grid, scan), rtol=0, atol=WEIGHT_TOLERANCE)


@pytest.mark.parametrize("centre", [(0.0, 0.0, 0.0), (2.0, -4.0, 1.0)])
@pytest.mark.parametrize("kind", ["parallel", "tilted", "cone", "helix"])
def test_ball_gives_its_chords(kind, centre):
    grid = VolumeGrid((116, 120, 124), (1.0, 1.0, 0.95))
    detector, angles = (130, 130), (0.1, 2.0, 4.2)
    scan = {
        "parallel": parallel_scan(angles, detector),
        "tilted": parallel_scan(angles, detector, tilt=0.3),
        "cone": cone_scan(angles, detector, (1.5, 1.5), (200.0, 300.0)),
        "helix": cone_scan(angles, detector, (1.5, 1.5), (200.0, 300.0), pitch=8.0),
    }[kind]
    actual = VolumeProjector(grid, scan)(ball(grid, 54.0, centre))
    assert mean_error(actual, chords(scan, 54.0, centre)) < BALL_TOLERANCE


@EVERY_SCAN
def test_threads_do_not_change_a_bit(scan, threads, generator):
    for grid in (GRID, VolumeGrid((1, 8, 8))):
        operator = VolumeProjector(grid, scan)
        for batch in (1, 2):
            x = torch.randn((batch, *operator.in_shape), generator=generator)
            y = torch.randn((batch, *operator.out_shape), generator=generator)
            threads(1)
            forward, adjoint = operator(x), operator.adjoint(y)
            for number in (2, 5):
                threads(number)
                assert torch.equal(operator(x), forward)
                assert torch.equal(operator.adjoint(y), adjoint)


@EVERY_SCAN
def test_float32_adjoint_is_exact_at_working_size(scan, generator):
    grid = VolumeGrid((24, 24, 24), (0.3, 0.3, 0.3))
    scan = replace(scan, u=scan.u / 4, v=scan.v / 4, detector_shape=(30, 36))
    operator = VolumeProjector(grid, scan)
    assert dot_test(operator, generator=generator, dtype=torch.float32) < 1e-6


def test_gradients_are_those_of_finite_differences(generator):
    operator = VolumeProjector(VolumeGrid((2, 3, 2)), parallel_scan((0.3, 1.4), (2, 3), tilt=0.2))
    x = torch.randn((2, 2, 3, 2), generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(operator, x)
    assert torch.autograd.gradgradcheck(operator, x)
    assert torch.autograd.gradgradcheck(lambda v: (operator(v) ** 2).sum((-1, -2)), x)


def test_batch_is_a_loop(generator):
    operator = VolumeProjector(GRID, SCANS["cone"])
    x = torch.rand((2, 3, *GRID.shape), generator=generator)
    looped = torch.stack([torch.stack([operator(v) for v in row]) for row in x])
    assert torch.equal(operator(x), looped)
    assert operator(x[:0]).shape == (0, 3, *operator.out_shape)
    assert torch.equal(operator(x.movedim(1, 0)), looped.movedim(1, 0))


def test_half_precision_is_computed_in_single(generator):
    operator = VolumeProjector(GRID, SCANS["cone"])
    x = torch.rand(GRID.shape, generator=generator).to(torch.bfloat16)
    assert torch.equal(operator(x), operator(x.float()).to(torch.bfloat16))


def test_the_named_projectors_are_the_general_one(generator):
    x = torch.rand(GRID.shape, generator=generator)
    for cls, name in ((ParallelBeam3D, "parallel"), (ConeBeam3D, "helix")):
        geometry = WrittenOut(SCANS[name])
        operator = cls(GRID, geometry)
        assert (operator.grid, operator.geometry) == (GRID, geometry)
        assert torch.equal(operator(x), VolumeProjector(GRID, SCANS[name])(x))
    with pytest.raises(ValueError, match="ParallelBeam3D: expected a parallel geometry, got a con"):
        ParallelBeam3D(GRID, WrittenOut(SCANS["cone"]))
    with pytest.raises(ValueError, match="ConeBeam3D: expected a cone geometry, got a parallel"):
        ConeBeam3D(GRID, WrittenOut(SCANS["parallel"]))


def test_a_source_inside_the_volume_is_refused():
    scan = cone_scan((0.0, 1.0), (4, 4), distances=(4.0, 9.0))
    with pytest.raises(ValueError, match=r"source of view 0 is 4 mm from the axis, inside the vol"):
        VolumeProjector(GRID, scan)
    with pytest.raises(ValueError, match="inside the volume"):
        ConeBeam3D(GRID, WrittenOut(scan))
    axis = np.array([0, 0, 20])
    above = replace(scan, emitter=scan.emitter + axis, centre=scan.centre - axis)
    VolumeProjector(GRID, above)  # outside the cylinder, beyond its top


def test_wrong_volumes_and_projections():
    operator = VolumeProjector(GRID, SCANS["parallel"])
    with pytest.raises(ValueError, match=r"VolumeProjector: expected trailing shape \(6, 7, 8\)"):
        operator(torch.zeros(8, 7, 6))
    with pytest.raises(ValueError, match=r"expected trailing shape \(7, 7, 9\), got \(7, 9, 7\)"):
        operator.adjoint(torch.zeros(7, 9, 7))
    with pytest.raises(ValueError, match="runs on cpu and cuda, got a tensor on meta"):
        operator(torch.zeros(6, 7, 8, device="meta"))


def test_cost_is_known_beforehand():
    cost = VolumeProjector(GRID, SCANS["helix"]).estimate_cost(num_views=2)
    assert 0 < cost.forward_seconds < 10
    assert 0 < cost.adjoint_seconds < 10
    assert cost.memory_bytes == 4 * (6 * 7 * 8 + 7 * 7 * 9)
    with pytest.raises(ValueError, match="num_views must be positive, got 0"):
        VolumeProjector(GRID, SCANS["helix"]).estimate_cost(num_views=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@EVERY_SCAN
def test_both_devices_agree(scan, generator):
    operator = VolumeProjector(GRID, scan)
    x = torch.rand((2, *operator.in_shape), generator=generator, dtype=torch.float64)
    y = torch.rand((2, *operator.out_shape), generator=generator, dtype=torch.float64)
    torch.testing.assert_close(operator(x.cuda()).cpu(), operator(x))
    torch.testing.assert_close(operator.adjoint(y.cuda()).cpu(), operator.adjoint(y))
