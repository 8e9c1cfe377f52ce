from __future__ import annotations

import math

import pytest
import torch

pytest.importorskip("triton")

from operators import (
    FanBeam2D,
    FanGeometry,
    ImageGrid,
    MatrixFreeBeam2D,
    ParallelBeam2D,
    ParallelGeometry,
)
from operators.ct import launch
from operators.probes import dot_test

DISTANCES = {"source_to_axis": 9.0, "source_to_detector": 14.0}
QUARTERS = tuple(k * math.pi / 4 for k in range(4))
SQUARE, FLAT = ImageGrid((5, 5)), ImageGrid((4, 7), (1.3, 0.8))
GEOMETRIES = {
    "parallel": (SQUARE, ParallelGeometry((0.2, 1.2, 2.9, 4.5), 6, 0.9, 0.13)),
    # along rows and columns and along the diagonals, where both axes are the main one
    "parallel-aligned": (SQUARE, ParallelGeometry(QUARTERS, 6, 0.9, 0.13)),
    "parallel-anisotropic": (FLAT, ParallelGeometry((0.3, 1.0, 2.2), 8, 1.1, -0.4)),
    "fan": (SQUARE, FanGeometry((0.1, 0.8, 3.9), 6, 1.6, 0.13, **DISTANCES)),
    "fan-anisotropic": (FLAT, FanGeometry((0.7, 2.2), 7, 1.7, 0.3, **DISTANCES)),
}
EVERY = pytest.mark.parametrize(("grid", "geometry"), GEOMETRIES.values(), ids=GEOMETRIES.keys())
# the stored matrix is in float32; kernels in float32 know a height to 1e-6 pixels, and a ray that
# rises by a tenth of a pixel in a column is shared between two pixels ten times less exactly
TOLERANCES = {torch.float64: 1e-7, torch.float32: 1e-5}
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])


def stored(grid, geometry):
    is_fan = isinstance(geometry, FanGeometry)
    return FanBeam2D(grid, geometry) if is_fan else ParallelBeam2D(grid, geometry)


def distance(actual, expected):
    norm = torch.linalg.vector_norm
    return (norm(actual.cpu() - expected) / norm(expected)).item()


@DTYPES
@EVERY
def test_both_directions_equal_the_stored_matrix(grid, geometry, dtype, kernel_device, generator):
    expected, operator = stored(grid, geometry), MatrixFreeBeam2D(grid, geometry).to(kernel_device)
    x = torch.randn(grid.shape, generator=generator, dtype=dtype)
    y = torch.randn(geometry.shape, generator=generator, dtype=dtype)
    assert distance(operator(x.to(kernel_device)), expected(x)) < TOLERANCES[dtype]
    assert distance(operator.adjoint(y.to(kernel_device)), expected.adjoint(y)) < TOLERANCES[dtype]
    assert dot_test(operator, generator=generator) < 1e-10
    assert dot_test(operator, generator=generator, dtype=torch.float32) < 1e-6


@pytest.mark.parametrize("batch", [3, 9])
def test_a_batch_is_a_loop(batch, kernel_device, generator):
    grid, geometry = ImageGrid((2, 3)), ParallelGeometry((0.4,), 3, 1.0)
    operator = MatrixFreeBeam2D(grid, geometry).to(kernel_device)
    x = torch.randn(batch, 2, 3, generator=generator, dtype=torch.float64).to(kernel_device)
    y = operator(x)
    torch.testing.assert_close(y, torch.stack([operator(v) for v in x]))
    adjoint = torch.stack([operator.adjoint(v) for v in y])
    torch.testing.assert_close(operator.adjoint(y), adjoint)


def test_more_pixels_and_rays_than_one_tile_holds(kernel_device, generator):
    grid, geometry = ImageGrid((9, 10)), ParallelGeometry.covering(ImageGrid((9, 17)), 9)
    expected, operator = stored(grid, geometry), MatrixFreeBeam2D(grid, geometry).to(kernel_device)
    assert geometry.shape[0] > 8
    assert geometry.shape[1] > 16
    x = torch.randn(10, 9, generator=generator, dtype=torch.float64).mT
    y = torch.randn(geometry.shape, generator=generator, dtype=torch.float64)
    assert distance(operator(x.to(kernel_device)), expected(x)) < 1e-7
    assert distance(operator.adjoint(y.to(kernel_device)), expected.adjoint(y)) < 1e-7


def test_a_ray_on_a_border_goes_to_one_side_with_its_whole_length(kernel_device):
    grid = ImageGrid((4, 4), (1.0, 1.5))
    # the middle ray of an odd detector runs between the middle pixels of an even grid
    operator = MatrixFreeBeam2D(grid, ParallelGeometry((0.0, math.pi / 2), 3, 1.0))
    ones = torch.ones(4, 4, dtype=torch.float64, device=kernel_device)
    expected = torch.tensor([[4.0], [6.0]], dtype=torch.float64, device=kernel_device)
    torch.testing.assert_close(operator.to(kernel_device)(ones), expected.expand(2, 3))


def test_a_source_inside_the_image_is_refused():
    with pytest.raises(ValueError, match="inside the image"):
        MatrixFreeBeam2D(ImageGrid((20, 20)), FanGeometry((0.1,), 4, 1.0, **DISTANCES))


def test_it_says_what_it_needs(monkeypatch):
    operator = MatrixFreeBeam2D(*GEOMETRIES["parallel"])
    with pytest.raises(ValueError, match=r"expected float32 or float64, got torch\.bfloat16"):
        operator(torch.zeros(5, 5, dtype=torch.bfloat16))
    monkeypatch.setattr(launch, "interpreting", lambda: False)
    with pytest.raises(ValueError, match="TRITON_INTERPRET=1 set before triton"):
        operator(torch.zeros(5, 5))


@pytest.mark.parametrize("other", [{"detector": "curved"}, {"detector_tilt": 0.1}])
def test_refuses_a_detector_that_the_kernels_do_not_know(other):
    grid = ImageGrid((4, 4))
    fan = FanGeometry.covering(grid, 3, source_to_axis=9.0, source_to_detector=14.0, **other)
    with pytest.raises(ValueError, match="flat detector without tilt"):
        MatrixFreeBeam2D(grid, fan)
