"""Which lines of Cartesian k-space are sampled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence


def cartesian_lines(
    shape: Sequence[int],
    acceleration: float,
    center_fraction: float,
    *,
    axis: int = -1,
    generator: torch.Generator,
) -> Tensor:
    """Sample the central lines and others uniformly at random, ``round(N / acceleration)`` in all.

    Args:
        shape: (height, width) of k-space.
        acceleration: N over the number of lines, at least 1.
        center_fraction: Share of the N lines in the fully sampled centre, in [0, 1].
        axis: Axis along which lines are chosen (phase encoding); whole lines run along the other.
        generator: Source of the draw.

    Returns:
        Boolean mask of the given shape, on the generator's device.

    Raises:
        ValueError: If a number is out of range, no line is left, or the centre has more lines than
            the total.
    """
    centre, outer, num_outer = _plan(shape, acceleration, center_fraction, axis)
    order = torch.randperm(outer.numel(), generator=generator, device=generator.device)
    chosen = outer[order[:num_outer].cpu()]
    return _expanded(shape, axis, torch.cat([centre, chosen])).to(generator.device)


def equispaced_lines(
    shape: Sequence[int], acceleration: float, center_fraction: float, *, axis: int = -1
) -> Tensor:
    """Sample the central lines and others evenly spaced, ``round(N / acceleration)`` in all.

    Gaps between the chosen ones among the lines outside the centre differ by at most one line.
    Without a centre the zero frequency need not be among them, and images lose their mean.

    Args:
        shape: (height, width) of k-space.
        acceleration: N over the number of lines, at least 1.
        center_fraction: Share of the N lines in the fully sampled centre, in [0, 1].
        axis: Axis along which lines are chosen (phase encoding); whole lines run along the other.

    Returns:
        Boolean mask of the given shape.

    Raises:
        ValueError: As :func:`cartesian_lines`.
    """
    centre, outer, num_outer = _plan(shape, acceleration, center_fraction, axis)
    # middle of each of num_outer equal stretches, in integers so that no two coincide
    steps = (2 * torch.arange(num_outer) + 1) * outer.numel() // max(1, 2 * num_outer)
    return _expanded(shape, axis, torch.cat([centre, outer[steps]]))


def _plan(
    shape: Sequence[int], acceleration: float, center_fraction: float, axis: int
) -> tuple[Tensor, Tensor, int]:
    """Return the central lines, the others, and how many of the others are to be sampled."""
    if len(shape) != 2 or axis not in (-2, -1, 0, 1):
        raise ValueError(f"expected a 2D shape and one of its axes, got {tuple(shape)}, {axis}")
    if not 1 <= acceleration < math.inf or not 0 <= center_fraction <= 1:
        raise ValueError(
            f"expected acceleration >= 1 and center_fraction in [0, 1], "
            f"got {acceleration} and {center_fraction}"
        )
    size = shape[axis]
    total, num_centre = round(size / acceleration), round(size * center_fraction)
    if total < 1 or num_centre > total:
        raise ValueError(
            f"acceleration {acceleration} leaves {total} of {size} lines, "
            f"the centre needs {num_centre}"
        )
    lines = torch.arange(size)
    start = size // 2 - num_centre // 2
    central = (lines >= start) & (lines < start + num_centre)
    return lines[central], lines[~central], total - num_centre


def _expanded(shape: Sequence[int], axis: int, lines: Tensor) -> Tensor:
    mask = torch.zeros(tuple(shape), dtype=torch.bool)
    mask.index_fill_(axis, lines, True)
    return mask
