"""Regular masks: shifted lattices in the plane of phase encoding, and over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from operators.mri.densities import central_block

if TYPE_CHECKING:
    from collections.abc import Sequence


def caipirinha_lattice(
    shape: Sequence[int],
    accelerations: tuple[int, int],
    shift: int,
    *,
    center_fraction: float = 0.0,
) -> Tensor:
    r"""Sample a lattice whose rows are shifted against each other (Breuer et al. 2006).

    .. math:: k_y \equiv 0 \pmod{R_y}, \qquad k_z \equiv s \, k_y / R_y \pmod{R_z}

    with frequencies k counted from index N // 2: one in R_y R_z, and aliases that lie farther
    apart than without the shift s.

    Args:
        shape: Phase-encoding axes (y, z) of a volume.
        accelerations: (R_y, R_z), each at least 1.
        shift: s in [0, R_z); 0 is the rectangular lattice.
        center_fraction: Side of a fully sampled central block over that of k-space, in [0, 1].

    Returns:
        Boolean mask of the given shape.

    Raises:
        ValueError: If the shape is not 2D and positive or a number is out of range.
    """
    if len(shape) != 2 or min(shape) < 1 or min(accelerations) < 1:
        raise ValueError(
            f"caipirinha_lattice: expected a 2D shape and accelerations of at least 1, "
            f"got {tuple(shape)} and {tuple(accelerations)}"
        )
    if not 0 <= shift < accelerations[1]:
        raise ValueError(
            f"caipirinha_lattice: expected a shift from 0 to {accelerations[1] - 1}, got {shift}"
        )
    rows, columns = (torch.arange(n) - n // 2 for n in shape)
    rows = rows.unsqueeze(1)
    shifted = columns - shift * (rows // accelerations[0])
    mask = (rows % accelerations[0] == 0) & (shifted % accelerations[1] == 0)
    mask[central_block(shape, center_fraction)] = True
    return mask


def sheared_lines(
    shape: Sequence[int],
    acceleration: int,
    *,
    shear: int = 1,
    center_fraction: float = 0.0,
    axis: int = -1,
) -> Tensor:
    r"""Sample every R-th line of every frame, moved on from frame to frame (Tsao et al. 2003).

    .. math:: k \equiv s \, t \pmod R

    with k counted from index N // 2. Where R and s have no common divisor, any R frames in turn
    sample every line exactly once.

    Args:
        shape: (frames, height, width).
        acceleration: R, at least 1.
        shear: Steps s from one frame to the next.
        center_fraction: Share of the lines in a fully sampled centre, in [0, 1].
        axis: Axis along which lines are chosen (phase encoding), -1 or -2; whole lines run along
            the other.

    Returns:
        Boolean mask of the given shape.

    Raises:
        ValueError: If the shape is not 3D and positive or a number is out of range.
    """
    if len(shape) != 3 or min(shape) < 1 or acceleration < 1 or axis not in (-2, -1):
        raise ValueError(
            f"sheared_lines: expected a shape (frames, height, width), an acceleration of at "
            f"least 1 and axis -1 or -2, got {tuple(shape)}, {acceleration} and {axis}"
        )
    frames, size = torch.arange(shape[0]).unsqueeze(1), shape[axis]
    lines = (torch.arange(size) - size // 2 - shear * frames) % acceleration == 0
    lines[:, central_block((size,), center_fraction)[0]] = True
    return lines.unsqueeze(-2 if axis == -1 else -1).expand(tuple(shape)).clone()
