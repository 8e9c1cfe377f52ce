"""Planes across the slices of a volume, with square pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

__all__ = ["AXIAL", "CORONAL", "SAGITTAL", "Plane", "plane_size", "resampling"]


class Plane(NamedTuple):
    """The planes of a volume that two of its axes span.

    Args:
        label: Their name.
        across: Axis of ``(slices, rows, columns)`` that counts them.
    """

    label: str
    across: int

    def cut(self, volumes: Tensor) -> Tensor:
        """Return ``(*batch, planes, height, width)`` of ``(*batch, slices, rows, columns)``."""
        return volumes.movedim(self.across - 3, -3)

    def joined(self, planes: Tensor) -> Tensor:
        """Undo ``cut``."""
        return planes.movedim(-3, self.across - 3)

    def axes(self, of: Sequence[T]) -> tuple[T, T]:
        """Pick what belongs to height and width out of one for each axis."""
        height, width = (v for axis, v in enumerate(of) if axis != self.across)
        return height, width


AXIAL, CORONAL, SAGITTAL = Plane("axial", 0), Plane("coronal", 1), Plane("sagittal", 2)


def plane_size(
    pixels: tuple[int, int], spacing: tuple[float, float], zoom: float, multiple: int
) -> tuple[int, int]:
    """Return height and width of a plane whose pixels are made square.

    Args:
        pixels: Height and width of the plane as it is in the volume.
        spacing: Their mm; the square pixels have the width's.
        zoom: How many times finer the square pixels are than that.
        multiple: Of what resampled sides are rounded to, at least once.
    """
    ratios = (mm / spacing[1] * zoom for mm in spacing)
    height, width = (
        n if ratio == 1 else multiple * max(1, round(n * ratio / multiple))
        for n, ratio in zip(pixels, ratios, strict=True)
    )
    return height, width


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
