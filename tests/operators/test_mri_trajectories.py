from __future__ import annotations

import math

import pytest
import torch

from operators import (
    radial_trajectory,
    radial_trajectory_3d,
    spiral_trajectory,
    stack_of_stars,
)

EVERY = {
    "radial": radial_trajectory(5, 8),
    "golden": radial_trajectory(6, 7, "golden"),
    "golden-3d": radial_trajectory_3d(20, 6),
    "phyllotaxis": radial_trajectory_3d(20, 6, "phyllotaxis", num_interleaves=4),
    "spiral": spiral_trajectory(3, 50, 4),
    "spiral-dense-centre": spiral_trajectory(2, 50, 4.5, density_power=2),
    "stack-of-stars": stack_of_stars(4, 6, 3, "golden"),
}


def _direction(trajectory):
    """Unit vectors of spokes, from their last sample."""
    last = trajectory[:, -1]
    return last / last.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("trajectory", EVERY.values(), ids=EVERY.keys())
def test_is_float64_and_within_the_cartesian_square(trajectory):
    assert trajectory.dtype == torch.float64
    assert trajectory.abs().max() <= 0.5


def test_radial_spokes_are_diameters_at_equal_angles():
    trajectory = radial_trajectory(4, 6)
    radii = torch.tensor([-3, -2, -1, 0, 1, 2], dtype=torch.float64) / 6
    for spoke, angle in zip(trajectory, [0, 1, 2, 3], strict=True):
        direction = [math.sin(angle * math.pi / 4), math.cos(angle * math.pi / 4)]
        expected = radii[:, None] * torch.tensor(direction, dtype=torch.float64)
        torch.testing.assert_close(spoke, expected)


def test_first_spoke_runs_along_the_columns():
    spoke = radial_trajectory(3, 8)[0]
    assert torch.equal(spoke[:, 0], torch.zeros(8, dtype=torch.float64))
    torch.testing.assert_close(spoke[:, 1], (torch.arange(8.0, dtype=torch.float64) - 4) / 8)


def test_golden_spokes_turn_by_the_golden_angle():
    directions = _direction(radial_trajectory(9, 5, "golden"))
    cosines = (directions[1:] * directions[:-1]).sum(-1)
    expected = torch.full_like(cosines, math.cos(math.radians(111.24611797)))
    torch.testing.assert_close(cosines, expected)


@pytest.mark.parametrize("kind", ["golden", "phyllotaxis"])
def test_directions_cover_the_hemisphere_evenly(kind):
    axes = _direction(radial_trajectory_3d(3000, 5, kind))
    # diameters spread evenly over the sphere have second moment 1/3 about every axis; the golden
    # means are exactly even, the phyllotaxis (polar angle proportional to sqrt s) is denser at
    # the equator: the integral of cos^2(pi/2 sqrt u) over u is 1/2 - 2/pi^2
    along = (axes[:, 0] ** 2).mean().item()
    expected = 1 / 3 if kind == "golden" else 0.5 - 2 / math.pi**2
    assert along == pytest.approx(expected, abs=2e-3)
    across = (axes[:, 1:] ** 2).mean(0)
    torch.testing.assert_close(across[0], across[1], rtol=0, atol=5e-3)
    assert axes[:, 1:].mean(0).abs().max() < 5e-3


def test_golden_means_are_those_of_chan():
    direction = _direction(radial_trajectory_3d(2, 5))[1]
    azimuth = math.atan2(direction[1], direction[2]) % (2 * math.pi)
    assert direction[0].item() == pytest.approx(0.4656, abs=1e-4)
    assert azimuth / (2 * math.pi) == pytest.approx(0.6823, abs=1e-4)


def test_interleaves_hold_the_same_spokes_in_another_order():
    plain = radial_trajectory_3d(12, 5, "phyllotaxis")
    interleaved = radial_trajectory_3d(12, 5, "phyllotaxis", num_interleaves=3)
    order = [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]
    torch.testing.assert_close(interleaved, plain[order])


def test_archimedean_spiral_has_equal_pitch():
    trajectory = spiral_trajectory(2, 400, 4)
    radius = trajectory.norm(dim=-1)
    torch.testing.assert_close(radius[0], 0.5 * torch.arange(400, dtype=torch.float64) / 400)
    # a turn later, 100 samples, the spiral is 1/4 of its radius further out, in one direction
    outer, inner = trajectory[0, 150:], trajectory[0, 50:300]
    torch.testing.assert_close(
        outer.norm(dim=-1) - inner.norm(dim=-1), torch.full((250,), 0.125).double()
    )
    torch.testing.assert_close(
        outer / outer.norm(dim=-1, keepdim=True), inner / inner.norm(dim=-1, keepdim=True)
    )
    torch.testing.assert_close(trajectory[1], -trajectory[0])


def test_density_power_pulls_samples_to_the_centre():
    radius = spiral_trajectory(1, 100, 5, density_power=3)[0].norm(dim=-1)
    torch.testing.assert_close(radius, 0.5 * (torch.arange(100, dtype=torch.float64) / 100) ** 3)


def test_stack_of_stars_repeats_the_star_at_every_height():
    stack = stack_of_stars(3, 8, 4).reshape(4, 3, 8, 3)
    star = radial_trajectory(3, 8)
    for plane, height in zip(stack, [-0.5, -0.25, 0, 0.25], strict=True):
        assert torch.equal(plane[..., 0], torch.full((3, 8), height, dtype=torch.float64))
        assert torch.equal(plane[..., 1:], star)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: radial_trajectory(0, 4), "num_spokes of at least 1"),
        (lambda: radial_trajectory(4, 0), "num_samples of at least 1"),
        (lambda: radial_trajectory(4, 4, "random"), "expected one of"),
        (lambda: radial_trajectory_3d(4, 4, "spiral"), "expected one of"),
        (lambda: radial_trajectory_3d(9, 4, "phyllotaxis", num_interleaves=2), "divide the 9"),
        (lambda: radial_trajectory_3d(8, 4, num_interleaves=2), "for 'golden'"),
        (lambda: spiral_trajectory(1, 4, 0.0), "positive num_turns"),
        (lambda: spiral_trajectory(1, 4, math.nan), "positive num_turns"),
        (lambda: spiral_trajectory(1, 4, 2, density_power=-1), "density_power"),
        (lambda: stack_of_stars(4, 4, 0), "num_partitions"),
    ],
)
def test_bad_numbers_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
