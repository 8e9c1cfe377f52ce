from __future__ import annotations

import math

import pytest
import torch

from operators import (
    NUFFT,
    density_compensation,
    radial_density,
    radial_trajectory,
    radial_trajectory_3d,
    spiral_trajectory,
)
from tests.operators.exact_transform import relative_error

SIZE = 32
# one spoke for every pi / 2 pixels and steps of half a pixel: the disc of k-space is full
RADIAL = radial_trajectory(51, 64)
GOLDEN = radial_trajectory(89, 64, "golden")
SPIRAL = spiral_trajectory(12, 200, 3.2)


def _phantom(*shape):
    """Smooth blobs that the disc of k-space holds entirely."""
    axes = [(torch.arange(n, dtype=torch.float64) - n // 2) / n for n in shape]
    grids = torch.meshgrid(*axes, indexing="ij")
    image = torch.zeros(shape, dtype=torch.complex128)
    for weight, centre, width in ((1.0, 0.02, 0.13), (-0.5j, 0.12, 0.09)):
        distance = sum((grid - centre) ** 2 for grid in grids)
        image += weight * torch.exp(-distance / (2 * width**2))
    return image


def _gridded(trajectory, weights, image):
    operator = NUFFT(trajectory, image.shape, tolerance=1e-7)
    return operator.adjoint(weights * operator(image))


@pytest.mark.parametrize("trajectory", [RADIAL, GOLDEN, SPIRAL], ids=["radial", "golden", "spiral"])
def test_gridding_reconstructs_a_fully_sampled_phantom(trajectory):
    image = _phantom(SIZE, SIZE)
    weights = density_compensation(trajectory, image.shape)
    assert weights.shape == (trajectory[..., 0].numel(),)
    assert (weights > 0).all()
    # no scale is fitted: the weights are areas
    assert relative_error(_gridded(trajectory, weights, image), image) < 0.01


@pytest.mark.parametrize("trajectory", [RADIAL, GOLDEN], ids=["equispaced", "golden"])
def test_ramp_reconstructs_a_fully_sampled_phantom(trajectory):
    image = _phantom(SIZE, SIZE)
    weights = radial_density(trajectory, image.shape)
    # second-order accurate at the centre of k-space
    assert relative_error(_gridded(trajectory, weights, image), image) < 0.01


@pytest.mark.parametrize("directions", ["golden", "phyllotaxis"])
def test_gridding_reconstructs_a_volume(directions):
    image = _phantom(12, 12, 12)
    trajectory = radial_trajectory_3d(400, 24, directions)
    weights = density_compensation(trajectory, image.shape)
    assert relative_error(_gridded(trajectory, weights, image), image) < 0.02


def test_ramp_reconstructs_a_volume():
    image = _phantom(12, 12, 12)
    trajectory = radial_trajectory_3d(400, 24)
    weights = radial_density(trajectory, image.shape)
    assert relative_error(_gridded(trajectory, weights, image), image) < 0.05


def test_without_compensation_gridding_fails():
    image = _phantom(SIZE, SIZE)
    flat = torch.full((RADIAL[..., 0].numel(),), SIZE**2 / RADIAL[..., 0].numel())
    assert relative_error(_gridded(RADIAL, flat, image), image) > 1


def test_weights_sum_to_the_area_of_the_disc():
    disc = math.pi / 4 * SIZE**2
    assert radial_density(RADIAL, (SIZE, SIZE)).sum().item() == pytest.approx(disc, rel=1e-3)
    # the outermost samples also stand for half a cell beyond the disc
    pipe_menon = density_compensation(RADIAL, (SIZE, SIZE)).sum().item()
    assert pipe_menon == pytest.approx(disc, rel=0.05)
    ball = math.pi / 6 * 10**3
    trajectory = radial_trajectory_3d(50, 40)
    assert radial_density(trajectory, (10, 10, 10)).sum().item() == pytest.approx(ball, rel=5e-3)


def test_cartesian_samples_weigh_one():
    line = (torch.arange(16, dtype=torch.float64) - 8) / 16
    points = torch.stack(torch.meshgrid(line, line, indexing="ij"), dim=-1)
    weights = density_compensation(points, (16, 16))
    # without any oversampling the kernel sees the single points: 4 % along each axis
    torch.testing.assert_close(weights, torch.ones_like(weights), rtol=0.1, atol=0)


def test_a_point_measured_twice_weighs_half():
    line = (torch.arange(16, dtype=torch.float64) - 8).unsqueeze(1) / 16
    weights = density_compensation(torch.cat([line, line[:4]]), (16,))
    torch.testing.assert_close(weights[:4], weights[16:])
    torch.testing.assert_close(weights[:4], torch.full((4,), 0.5).double(), rtol=0.05, atol=0)


def test_precision_follows_the_trajectory():
    for dtype in (torch.float32, torch.float64):
        trajectory = RADIAL.to(dtype)
        assert density_compensation(trajectory, (SIZE, SIZE)).dtype == dtype
        assert radial_density(trajectory, (SIZE, SIZE)).dtype == dtype


@pytest.mark.parametrize(
    ("trajectory", "message"),
    [
        (SPIRAL, "diameters through the centre"),
        (RADIAL[:, :20], "diameters through the centre"),
        (RADIAL**3, "diameters through the centre"),
        (RADIAL.flatten(0, 1), "spokes, samples"),
        (RADIAL[:, 32:33], "spokes, samples"),
        (RADIAL * math.nan, "not finite"),
    ],
    ids=["spiral", "past-the-centre", "uneven", "flat", "one-sample", "nan"],
)
def test_the_ramp_is_for_diameters_alone(trajectory, message):
    with pytest.raises(ValueError, match=f"radial_density: .*{message}"):
        radial_density(trajectory, (SIZE, SIZE))


def test_bad_input_of_the_iteration_is_refused():
    with pytest.raises(ValueError, match="at least one iteration, got 0"):
        density_compensation(RADIAL, (SIZE, SIZE), num_steps=0)
    with pytest.raises(ValueError, match="cycles per pixel"):
        density_compensation(RADIAL * SIZE, (SIZE, SIZE))
