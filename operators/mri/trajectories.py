"""Where non-Cartesian scans sample k-space.

Every trajectory is a float64 tensor (shots, samples, ndim) in cycles per pixel, so that the
Cartesian k-space of an image fills [-0.5, 0.5) along every axis. The last dimension follows the
axes of the image: (row, column) in 2D, (slice, row, column) in 3D.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

# Winkelmann et al. 2007: successive diameters split the half circle by the golden ratio
GOLDEN_ANGLE = math.pi * (math.sqrt(5) - 1) / 2
# Chan et al. 2009: the real root of x^3 + x = 1, whose powers fill the square evenly
_GOLDEN_MEAN = 0.6823278038280193


def radial_trajectory(
    num_spokes: int, num_samples: int, angles: Literal["equispaced", "golden"] = "equispaced"
) -> Tensor:
    r"""Sample diameters of the disc of radius 0.5 cycles per pixel.

    .. math:: k_{s, i} = r_i (\sin \theta_s, \cos \theta_s), \quad
        r_i = \frac{i - \lfloor R / 2 \rfloor}{R}

    with :math:`\theta_s = \pi s / S` or, for the golden angle :cite:p:`winkelmann2007`,
    :math:`\theta_s = s \pi (\sqrt 5 - 1) / 2`.

    Args:
        num_spokes: S, at least 1.
        num_samples: R along each spoke, at least 1; the centre is sample R // 2.
        angles: "equispaced" over the half circle or "golden".

    Returns:
        (num_spokes, num_samples, 2) in cycles per pixel.

    Raises:
        ValueError: For a number below 1 or another name of angles.
    """
    _check_counts("radial_trajectory", num_spokes=num_spokes, num_samples=num_samples)
    _check_choice("radial_trajectory", angles, ("equispaced", "golden"))
    step = GOLDEN_ANGLE if angles == "golden" else math.pi / num_spokes
    theta = step * _count(num_spokes)
    directions = torch.stack([theta.sin(), theta.cos()], dim=-1)
    return _diameters(directions, num_samples)


def radial_trajectory_3d(
    num_spokes: int,
    num_samples: int,
    directions: Literal["golden", "phyllotaxis"] = "golden",
    *,
    num_interleaves: int = 1,
) -> Tensor:
    r"""Sample diameters of the ball of radius 0.5 cycles per pixel.

    The golden means :cite:p:`chan2009` put spoke s at height and azimuth

    .. math:: \cos \beta_s = \{s g^2\}, \quad \alpha_s = 2 \pi \{s g\}, \quad g^3 + g = 1

    with {.} the fractional part; the spiral phyllotaxis :cite:p:`piccini2011` at

    .. math:: \beta_s = \frac{\pi}{2} \sqrt{s / S}, \quad \alpha_s = s \pi (3 - \sqrt 5)

    Args:
        num_spokes: S, at least 1.
        num_samples: R along each spoke, at least 1; the centre is sample R // 2.
        directions: "golden" or "phyllotaxis".
        num_interleaves: Every so many spokes of the phyllotaxis follow each other, so that each
            interleave covers the ball; a divisor of num_spokes.

    Returns:
        (num_spokes, num_samples, 3) in cycles per pixel; the polar axis is the first, the slices.

    Raises:
        ValueError: For a number below 1, another name of directions, or interleaves that do not
            divide the spokes or that golden means do not have.
    """
    name = "radial_trajectory_3d"
    _check_counts(
        name, num_spokes=num_spokes, num_samples=num_samples, num_interleaves=num_interleaves
    )
    _check_choice(name, directions, ("golden", "phyllotaxis"))
    if num_spokes % num_interleaves or (directions == "golden" and num_interleaves > 1):
        raise ValueError(
            f"{name}: expected num_interleaves that divide the {num_spokes} spokes of a "
            f"phyllotaxis, got {num_interleaves} for {directions!r}"
        )
    spoke = _count(num_spokes)
    if directions == "golden":
        height = spoke * _GOLDEN_MEAN**2 % 1
        azimuth = 2 * math.pi * (spoke * _GOLDEN_MEAN % 1)
    else:
        spoke = spoke.reshape(-1, num_interleaves).T.flatten()
        height = torch.cos(math.pi / 2 * (spoke / num_spokes).sqrt())
        azimuth = spoke * math.pi * (3 - math.sqrt(5))
    across = (1 - height**2).sqrt()
    axes = [height, across * azimuth.sin(), across * azimuth.cos()]
    return _diameters(torch.stack(axes, dim=-1), num_samples)


def spiral_trajectory(
    num_interleaves: int, num_samples: int, num_turns: float, *, density_power: float = 1.0
) -> Tensor:
    r"""Sample spirals from the centre outwards.

    .. math:: k_{s, i} = \tfrac12 \tau_i^\alpha (\sin \theta_{s, i}, \cos \theta_{s, i}), \quad
        \tau_i = i / R, \quad \theta_{s, i} = 2 \pi (n \tau_i + s / S)

    The geometry alone: samples are uniform in angle and no gradient limit is imposed.

    Args:
        num_interleaves: S rotated copies, at least 1.
        num_samples: R of each, at least 1.
        num_turns: n of each, positive.
        density_power: alpha, positive: 1 is the Archimedean spiral, with equal distance from turn
            to turn; more samples the centre more densely.

    Returns:
        (num_interleaves, num_samples, 2) in cycles per pixel.

    Raises:
        ValueError: If a number is out of range.
    """
    name = "spiral_trajectory"
    _check_counts(name, num_interleaves=num_interleaves, num_samples=num_samples)
    if not (0 < num_turns < math.inf and 0 < density_power < math.inf):
        raise ValueError(
            f"{name}: expected positive num_turns and density_power, "
            f"got {num_turns} and {density_power}"
        )
    tau = _count(num_samples) / num_samples
    start = _count(num_interleaves).unsqueeze(1) / num_interleaves
    theta = 2 * math.pi * (num_turns * tau + start)
    return 0.5 * (tau**density_power).unsqueeze(1) * torch.stack([theta.sin(), theta.cos()], -1)


def stack_of_stars(
    num_spokes: int,
    num_samples: int,
    num_partitions: int,
    angles: Literal["equispaced", "golden"] = "equispaced",
) -> Tensor:
    """Sample a radial trajectory in every one of equispaced planes of k-space.

    Args:
        num_spokes: Spokes in each plane; the same ones in all.
        num_samples: Samples along each spoke.
        num_partitions: P planes, at (p - P // 2) / P cycles per slice.
        angles: As for :func:`radial_trajectory`.

    Returns:
        (num_partitions * num_spokes, num_samples, 3) in cycles per pixel, plane after plane.

    Raises:
        ValueError: As :func:`radial_trajectory`, and for fewer than one partition.
    """
    _check_counts("stack_of_stars", num_partitions=num_partitions)
    star = radial_trajectory(num_spokes, num_samples, angles)
    heights = (_count(num_partitions) - num_partitions // 2) / num_partitions
    planes = heights[:, None, None, None].expand(-1, num_spokes, num_samples, 1)
    stars = star.expand(num_partitions, -1, -1, -1)
    return torch.cat([planes, stars], dim=-1).flatten(0, 1)


def _diameters(directions: Tensor, num_samples: int) -> Tensor:
    radius = (_count(num_samples) - num_samples // 2) / num_samples
    return radius.unsqueeze(1) * directions.unsqueeze(1)


def _count(number: int) -> Tensor:
    return torch.arange(number, dtype=torch.float64)


def _check_counts(name: str, **counts: int) -> None:
    for what, count in counts.items():
        if count < 1:
            raise ValueError(f"{name}: expected {what} of at least 1, got {count}")


def _check_choice(name: str, choice: str, known: tuple[str, ...]) -> None:
    if choice not in known:
        raise ValueError(f"{name}: expected one of {known}, got {choice!r}")
