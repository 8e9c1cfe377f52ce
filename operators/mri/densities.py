"""Random masks whose density falls with the distance from the centre of k-space."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence


def random_points(
    shape: Sequence[int],
    acceleration: float,
    center_fraction: float,
    *,
    generator: torch.Generator,
) -> Tensor:
    """Sample the central block and other points uniformly at random.

    As :func:`variable_density_points` of power 0.
    """
    return variable_density_points(
        shape, acceleration, center_fraction, power=0, generator=generator
    )


def variable_density_points(
    shape: Sequence[int],
    acceleration: float,
    center_fraction: float,
    *,
    power: float,
    generator: torch.Generator,
) -> Tensor:
    r"""Sample the central block and other points with a polynomial density (Lustig et al. 2007).

    .. math:: P(k \text{ is sampled}) = \min(1, c \, (1 - |k|)^p), \qquad
        |k|^2 = \frac{1}{D} \sum_{a=1}^{D} \left(\frac{k_a}{(N_a + 1) / 2}\right)^2

    outside the block, with c such that ``round(N / acceleration)`` of all N are sampled: exactly
    so many in every draw, and with exactly these probabilities.

    Args:
        shape: Phase-encoding axes: (height, width), or any other number of axes.
        acceleration: N over the number of samples, at least 1.
        center_fraction: Side of the fully sampled central block over that of k-space, in [0, 1].
        power: p, at least 0; 0 is uniform.
        generator: Source of the draw.

    Returns:
        Boolean mask of the given shape, on the generator's device.

    Raises:
        ValueError: If a number is out of range, no sample is left, or the centre has more samples
            than the total.
    """
    centre, num_outer = plan_points(shape, acceleration, center_fraction)
    return centre.to(generator.device) | _drawn(~centre, num_outer, power, generator)


def variable_density_lines(
    shape: Sequence[int],
    acceleration: float,
    center_fraction: float,
    *,
    power: float,
    axis: int = -1,
    generator: torch.Generator,
) -> Tensor:
    r"""Sample the central lines and others with the density :math:`(1 - |k|)^p`.

    As :func:`variable_density_points` along one axis: ``round(N / acceleration)`` lines in all.

    Args:
        shape: (height, width) of k-space.
        acceleration: N over the number of lines, at least 1.
        center_fraction: Share of the N lines in the fully sampled centre, in [0, 1].
        power: p, at least 0; 0 is uniform.
        axis: Axis along which lines are chosen (phase encoding); whole lines run along the other.
        generator: Source of the draw.

    Returns:
        Boolean mask of the given shape, on the generator's device.

    Raises:
        ValueError: As :func:`variable_density_points`.
    """
    if len(shape) != 2 or axis not in (-2, -1, 0, 1):
        raise ValueError(f"expected a 2D shape and one of its axes, got {tuple(shape)}, {axis}")
    lines = variable_density_points(
        (shape[axis],), acceleration, center_fraction, power=power, generator=generator
    )
    along_rows = axis in (-2, 0)
    return lines.unsqueeze(1 if along_rows else 0).expand(tuple(shape)).clone()


def plan_points(
    shape: Sequence[int], acceleration: float, center_fraction: float
) -> tuple[Tensor, int]:
    """Return the central block as a mask, and how many samples are left for the outside.

    Raises:
        ValueError: As :func:`variable_density_points`.
    """
    if len(shape) == 0 or min(shape) < 1:
        raise ValueError(f"expected a shape of positive sizes, got {tuple(shape)}")
    if not 1 <= acceleration < math.inf:
        raise ValueError(f"expected acceleration >= 1, got {acceleration}")
    centre = torch.zeros(tuple(shape), dtype=torch.bool)
    centre[central_block(shape, center_fraction)] = True
    total, num_centre = round(centre.numel() / acceleration), int(centre.sum())
    if total < 1 or num_centre > total:
        raise ValueError(
            f"acceleration {acceleration} leaves {total} of {centre.numel()} samples, "
            f"the centre needs {num_centre}"
        )
    return centre, total - num_centre


def central_block(shape: Sequence[int], fraction: float) -> tuple[slice, ...]:
    """Return the block of ``round(N fraction)`` along every axis, about index N // 2.

    Raises:
        ValueError: If the fraction is outside [0, 1].
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"expected center_fraction in [0, 1], got {fraction}")
    sides = [round(n * fraction) for n in shape]
    starts = [n // 2 - side // 2 for n, side in zip(shape, sides, strict=True)]
    return tuple(slice(a, a + side) for a, side in zip(starts, sides, strict=True))


def squared_radius(shape: Sequence[int], *, beyond: float = 0) -> Tensor:
    """Return the sum over axes of squared frequencies, each over half its size.

    Args:
        shape: Sizes N of the axes.
        beyond: Added to N, so that the outermost frequency stays below 1.

    Returns:
        float64 tensor of the given shape.
    """
    total = torch.zeros(tuple(shape), dtype=torch.float64)
    for axis, n in enumerate(shape):
        frequency = (torch.arange(n, dtype=torch.float64) - n // 2) / ((n + beyond) / 2)
        total += frequency.square().reshape(-1, *(1,) * (len(shape) - 1 - axis))
    return total


def _drawn(allowed: Tensor, num_samples: int, power: float, generator: torch.Generator) -> Tensor:
    if not 0 <= power < math.inf:
        raise ValueError(f"expected a power of at least 0, got {power}")
    shape = tuple(allowed.shape)
    radius = (squared_radius(shape, beyond=1) / len(shape)).sqrt()
    places = allowed.flatten().nonzero().squeeze(1)
    density = (1 - radius).pow(power)[allowed]
    if int((density > 0).sum()) < num_samples:
        raise ValueError(f"the density of power {power} is 0 in double precision at the edge")
    probabilities = _inclusion_probabilities(density, num_samples)
    chosen = _systematic_draw(probabilities, num_samples, generator)
    mask = torch.zeros(allowed.numel(), dtype=torch.bool, device=generator.device)
    mask[places.to(generator.device)[chosen]] = True
    return mask.reshape(shape)


def _inclusion_probabilities(density: Tensor, num_samples: int) -> Tensor:
    """Return min(1, c density) with the c for which they sum to num_samples."""
    if num_samples == 0 or num_samples == len(density):
        return torch.full_like(density, num_samples / max(1, len(density)))
    largest = density.sort(descending=True).values
    # with the k largest at 1, the others share what is left; right for the smallest k that fits
    left = num_samples - torch.arange(num_samples)
    scale = left / largest.flip(0).cumsum(0).flip(0)[:num_samples]
    first = int((scale * largest[:num_samples] <= 1).int().argmax())
    return (scale[first] * density).clamp(max=1)


def _systematic_draw(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """Return num_samples indices, index i with probability probabilities[i] (Madow 1949).

    The probabilities are laid one after the other, in random order, on a line; a comb of teeth at
    distance 1 and with random offset hits as many as they sum to.
    """
    device = generator.device
    order = torch.randperm(len(probabilities), generator=generator, device=device)
    edges = probabilities.to(device)[order].cumsum(0)
    offset = torch.rand((), generator=generator, device=device, dtype=torch.float64)
    teeth = torch.arange(num_samples, device=device) + offset
    # rounding may leave the last edge short of the sum
    hits = torch.searchsorted(edges, teeth, right=True).clamp(max=len(order) - 1)
    return order[hits]
