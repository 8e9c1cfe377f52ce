"""Random masks with a smallest distance between samples."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from operators.mri.densities import plan_points, squared_radius

if TYPE_CHECKING:
    from collections.abc import Sequence

# the distance is found to one per cent
_TOLERANCE = 1.01


def poisson_disc_points(
    shape: Sequence[int],
    acceleration: float,
    center_fraction: float,
    *,
    edge_ratio: float = 1.0,
    elliptical: bool = False,
    generator: torch.Generator,
) -> Tensor:
    r"""Sample the central block and others at random, as far from each other as so many can be.

    Darts are thrown at points that are farther than a distance r from all the others (Cook 1986)
    until ``round(N / acceleration)`` points are sampled, with the largest r for which there is
    room:

    .. math:: r(k) = r_0 \, (1 + (e - 1) |k|), \qquad
        |k|^2 = \sum_a \left(\frac{k_a}{N_a / 2}\right)^2

    No two samples outside the block are nearer than the smaller of their r. Distances on a grid
    are 1, :math:`\sqrt2`, 2, :math:`\sqrt5` and so on, so that r_0 of a uniform mask is one of
    these; where r is below 1 every point may be sampled.

    Args:
        shape: Phase-encoding axes (height, width).
        acceleration: N over the number of samples, at least 1; N counts the corners as well.
        center_fraction: Side of the fully sampled central block over that of k-space, in [0, 1].
        edge_ratio: e, at least 1: distance at the edge of k-space over that at its centre.
        elliptical: Whether to leave out the corners, beyond the ellipse :math:`|k| = 1`.
        generator: Source of the draw.

    Returns:
        Boolean mask of the given shape, on the generator's device.

    Raises:
        ValueError: If a number is out of range, no sample is left, the centre has more samples
            than the total, or the ellipse has fewer.
    """
    if len(shape) != 2 or not 1 <= edge_ratio < math.inf:
        raise ValueError(
            f"poisson_disc_points: expected a 2D shape and edge_ratio >= 1, "
            f"got {tuple(shape)} and {edge_ratio}"
        )
    centre, num_outer = plan_points(shape, acceleration, center_fraction)
    squared = squared_radius(shape)
    allowed = ~centre & (squared <= 1) if elliptical else ~centre
    if num_outer > int(allowed.sum()):
        raise ValueError(
            f"poisson_disc_points: {num_outer} samples do not fit into the {int(allowed.sum())} "
            f"places between the centre and the ellipse"
        )
    places = allowed.flatten().nonzero().squeeze(1)
    order = torch.randperm(len(places), generator=generator, device=generator.device).cpu()
    profile = 1 + (edge_ratio - 1) * squared.sqrt()
    return _widest(profile, centre, places[order], num_outer).to(generator.device)


def throw_darts(radius: Tensor, taken: Tensor, order: Tensor, num_samples: int) -> Tensor:
    """Accept points one after the other unless they are within the radius of an accepted one.

    Args:
        radius: Around every point, in steps of the grid, real and positive (height, width).
        taken: Boolean (height, width): points accepted beforehand, whatever their distance.
        order: Flat indices of the points in the order in which they are tried.
        num_samples: Number of further points after which to stop.

    Returns:
        Boolean mask of the accepted points, those taken beforehand among them; with fewer than
        num_samples more, no point of the order is left that is outside the radius of all.
    """
    height, width = radius.shape
    # distances on the grid are roots of integers: d < r exactly where d^2 < ceil(r^2)
    limits = radius.square().ceil().int().flatten().tolist()
    reach = math.isqrt(max(limits)) + 1
    blocked = np.zeros((height + 2 * reach, width + 2 * reach), dtype=np.bool_)
    accepted = taken.clone()
    flat, left = accepted.view(-1), num_samples
    starts = taken.flatten().nonzero().squeeze(1).tolist()
    for position, index in enumerate(starts + order.tolist()):
        row, column = divmod(index, width)
        if position >= len(starts):
            if left == 0:
                break
            if blocked[row + reach, column + reach]:
                continue
            flat[index] = True
            left -= 1
        disc = _disc(limits[index])
        top, start = row + reach - len(disc) // 2, column + reach - len(disc) // 2
        blocked[top : top + len(disc), start : start + len(disc)] |= disc
    return accepted


def _widest(profile: Tensor, centre: Tensor, order: Tensor, num_samples: int) -> Tensor:
    """Throw darts with the largest multiple of the profile for which there is room."""
    # up to distance 1 every point of the grid is allowed
    low, high = 1 / float(profile.max()), float(max(profile.shape))
    best = throw_darts(torch.ones_like(profile), centre, order, num_samples)
    expected = best.sum()
    while high > low * _TOLERANCE:
        scale = math.sqrt(low * high)
        mask = throw_darts(profile * scale, centre, order, num_samples)
        if mask.sum() == expected:
            low, best = scale, mask
        else:
            high = scale
    return best


@lru_cache(maxsize=256)
def _disc(limit: int) -> NDArray[np.bool_]:
    """Points with squared distance below the limit from the middle."""
    steps = np.arange(-math.isqrt(limit), math.isqrt(limit) + 1)
    disc: NDArray[np.bool_] = np.add.outer(steps**2, steps**2) < limit
    return disc
