from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("triton")

from operators.ct import launch
from operators.ct.frames import ray_frames
from operators.ct.triton_volume import backproject, project
from operators.ct.volume import ScanVectors, VolumeGrid
from tests.operators.joseph import joseph_matrix

# rounding of sums of some ten terms; in float32 of positions up to ten voxels as well
TOLERANCES = {torch.float64: 1e-13, torch.float32: 3e-6}
DOT_TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-6}
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])


def turned(angles, *, rows=5, columns=6, steps=(1.5, 1.4), rise=0.0, lean=0.0, shift=0.1):
    """Cone-beam views about z; ``rise`` mm upwards from view to view, rows leaning to x."""
    angles = np.array(angles)
    along = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    forward = np.stack([-np.sin(angles), np.cos(angles), 0 * angles], axis=1)
    level = rise * (np.arange(len(angles)) - (len(angles) - 1) / 2)[:, None] * [0, 0, 1]
    v = np.tile([lean, 0.0, steps[0]], (len(angles), 1))
    centre = 8 * forward + shift * along + level
    return ScanVectors("cone", level - 12 * forward, centre, steps[1] * along, v, (rows, columns))


def parallel(directions):
    """Parallel views along given directions, the detector across them."""
    emitter = np.array(directions, dtype=float)
    u = np.cross(emitter, [0.3, -0.2, 1.0])
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    v = np.cross(u, emitter)
    v *= 1.1 / np.linalg.norm(v, axis=1, keepdims=True)
    return ScanVectors("parallel", emitter, 0.21 * u - 0.13 * v, 0.9 * u, v, (6, 5))


CUBE, BOX = VolumeGrid((5, 5, 5)), VolumeGrid((3, 6, 5), (1.4, 0.9, 1.1))
CASES = {
    "cone": (CUBE, turned((0.1, 2.4, 4.0))),
    "cone-two-axes-in-a-view": (BOX, turned((0.75, 2.3))),
    "cone-anisotropic": (BOX, turned((0.3, 1.7, 5.0))),
    "cone-leaning-detector": (BOX, turned((0.5, 2.2), lean=0.4)),
    "helical": (CUBE, turned((0.2, 1.9, 3.1), rise=1.7)),
    "parallel-three-axes": (BOX, parallel([(1, 0.3, 0.2), (0.1, -1, 0.4), (0.2, 0.3, -1)])),
    "parallel-ties": (CUBE, parallel([(1, 1, 0.5), (1, -1, 1), (0.2, 1, 1)])),
}
EVERY = pytest.mark.parametrize(("grid", "scan"), CASES.values(), ids=CASES.keys())


def draw(*shape, generator, dtype=torch.float64, device="cpu"):
    return torch.randn(shape, generator=generator, dtype=dtype).to(device)


@DTYPES
@EVERY
def test_both_directions_equal_the_dense_matrix_of_the_model(
    grid, scan, dtype, kernel_device, generator
):
    matrix = torch.from_numpy(joseph_matrix(grid, scan)).to(kernel_device)
    x = draw(1, *grid.shape, generator=generator, dtype=dtype, device=kernel_device)
    y = draw(1, *scan.shape, generator=generator, dtype=dtype, device=kernel_device)
    kept = x.clone(), y.clone()
    forward, adjoint = project(x, grid, scan), backproject(y, grid, scan)
    assert torch.equal(x, kept[0])
    assert torch.equal(y, kept[1])
    assert forward.dtype == adjoint.dtype == dtype
    for actual, expected in (
        (forward, matrix @ x.double().flatten()),
        (adjoint, matrix.mT @ y.double().flatten()),
    ):
        error = torch.linalg.vector_norm(actual.double().flatten() - expected)
        assert error < TOLERANCES[dtype] * torch.linalg.vector_norm(expected)
    left, right = (forward * y).sum(), (x * adjoint).sum()
    scale = torch.linalg.vector_norm(forward) * torch.linalg.vector_norm(y)
    assert (left - right).abs() < DOT_TOLERANCES[dtype] * scale


def test_the_cases_have_every_main_axis_and_a_view_with_two():
    axes = {name: ray_frames(grid, scan, 1.0).axes for name, (grid, scan) in CASES.items()}
    assert axes["parallel-three-axes"].tolist() == [0, 1, 2]
    assert len(axes["cone-two-axes-in-a-view"]) > 2
    aligned = {name: ray_frames(grid, scan, 1.0).aligned for name, (grid, scan) in CASES.items()}
    assert aligned["helical"]
    assert not aligned["cone-leaning-detector"]


@pytest.mark.parametrize("batch", [3, 9])
def test_a_batch_is_a_loop(batch, kernel_device, generator):
    grid, scan = VolumeGrid((2, 3, 4)), turned((0.4,), rows=2, columns=4)
    x = draw(batch, *grid.shape, generator=generator, device=kernel_device)
    y = draw(batch, *scan.shape, generator=generator, device=kernel_device)
    looped = torch.cat([project(v[None], grid, scan) for v in x])
    torch.testing.assert_close(project(x, grid, scan), looped)
    looped = torch.cat([backproject(v[None], grid, scan) for v in y])
    torch.testing.assert_close(backproject(y, grid, scan), looped)


def test_more_voxels_and_rays_than_one_tile_holds(kernel_device, generator):
    grid, scan = VolumeGrid((9, 2, 10)), turned((0.6,), rows=9, columns=10)
    matrix = torch.from_numpy(joseph_matrix(grid, scan)).to(kernel_device)
    # the layout of the input does not matter
    x = draw(9, 2, 10, 2, generator=generator, device=kernel_device).movedim(-1, 0)
    y = draw(*scan.shape, 2, generator=generator, device=kernel_device).movedim(-1, 0)
    expected = (x.flatten(1) @ matrix.mT).reshape(2, *scan.shape)
    torch.testing.assert_close(project(x, grid, scan), expected)
    expected = (y.flatten(1) @ matrix).reshape(x.shape)
    torch.testing.assert_close(backproject(y, grid, scan), expected)


def test_long_arrays_are_addressed_with_64_bits(kernel_device, generator, monkeypatch):
    grid, scan = VolumeGrid((2, 3, 4)), turned((0.4,), rows=2, columns=4)
    x = draw(2, *grid.shape, generator=generator, device=kernel_device)
    y = draw(2, *scan.shape, generator=generator, device=kernel_device)
    expected = project(x, grid, scan), backproject(y, grid, scan)
    monkeypatch.setattr(launch, "_INT32_LIMIT", 0)
    torch.testing.assert_close((project(x, grid, scan), backproject(y, grid, scan)), expected)


def test_axis_parallel_rays_sum_the_voxels(kernel_device, generator):
    grid = VolumeGrid((3, 4, 5), (1.0, 2.0, 1.0))
    # along +y, one ray for each column (x) and slice (z)
    vectors = ([[0, 1, 0]], [[0, 0, 0]], [[1, 0, 0]], [[0, 0, 1]])
    scan = ScanVectors("parallel", *(np.array(v, dtype=float) for v in vectors), (3, 5))
    x = draw(1, 3, 4, 5, generator=generator, device=kernel_device)
    torch.testing.assert_close(project(x, grid, scan)[:, 0], 2.0 * x.sum(2))


def test_a_source_in_or_beside_the_volume_is_refused(kernel_device):
    x = torch.zeros(1, 30, 30, 30, device=kernel_device)
    with pytest.raises(ValueError, match="source of view 0 is inside or behind the volume"):
        project(x, VolumeGrid((30, 30, 30)), turned((0.1,)))


def test_wrong_tensors_are_refused(kernel_device, monkeypatch):
    grid, scan = CASES["cone"]
    for x in (torch.zeros(*grid.shape), torch.zeros(0, *grid.shape), torch.zeros(1, 5, 5, 6)):
        with pytest.raises(ValueError, match=r"project: expected \(batch, \*\(5, 5, 5\)\), got"):
            project(x.to(kernel_device), grid, scan)
    with pytest.raises(ValueError, match=r"expected float32 or float64, got torch\.float16"):
        project(torch.zeros(1, *grid.shape).half(), grid, scan)
    monkeypatch.setattr(launch, "interpreting", lambda: False)
    with pytest.raises(ValueError, match="on the CPU the kernels only run in the interpreter"):
        backproject(torch.zeros(1, *scan.shape), grid, scan)
