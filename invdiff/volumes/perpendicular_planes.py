"""Planes across the slices of a volume, with square pixels."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Plane", "num_rows", "resampling"]


class Plane(NamedTuple):
    """The planes of a volume that z and one axis of the slices span.

    Args:
        label: Their name.
        across: Axis of ``(slices, rows, columns)`` that counts them: 1 or 2.
    """

    label: str
    across: int

    @property
    def along(self) -> int:
        """Axis of the slices that is theirs too."""
        return 3 - self.across

    def cut(self, volumes: Tensor) -> Tensor:
        """Return ``(*batch, planes, slices, pixels)`` of ``(*batch, slices, rows, columns)``."""
        return volumes.movedim(self.across - 3, -3)

    def joined(self, planes: Tensor) -> Tensor:
        """Undo ``cut``."""
        return planes.movedim(-3, self.across - 3)


def num_rows(num_slices: int, z_mm: float, pixel_mm: float, multiple: int) -> int:
    """Return how many rows make the pixels of a plane square, rounded to a multiple; at least one.

    Args:
        num_slices: Slices of the volume.
        z_mm: Distance of two slices.
        pixel_mm: Side of a pixel along the slices.
        multiple: Of what the network's poolings divide.
    """
    return multiple * max(1, round(num_slices * z_mm / pixel_mm / multiple))


def resampling(num_in: int, num_out: int) -> Tensor:
    r"""Return the matrix that resamples a line of pixels, shape ``(num_out, num_in)``, float64.

    To more pixels it interpolates linearly between their middles, constant beyond the outer ones;
    to fewer it averages over their area. Its rows sum to 1, so that constants stay what they are.
    """
    if num_out == num_in:
        return torch.eye(num_in, dtype=torch.float64)
    edges = torch.arange(num_out + 1, dtype=torch.float64) * (num_in / num_out)
    low, high = edges[:-1, None], edges[1:, None]
    pixels = torch.arange(num_in, dtype=torch.float64)
    if num_out > num_in:
        middles = ((low + high) / 2 - 0.5).clamp(0, num_in - 1)
        return (1 - (middles - pixels).abs()).clamp(min=0)
    overlap = torch.minimum(high, pixels + 1) - torch.maximum(low, pixels)
    return overlap.clamp(min=0) * (num_out / num_in)
