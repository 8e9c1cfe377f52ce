"""Parts of slices that show something."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.training import cropped
from invdiff.training.slice_set import SliceSet

__all__ = ["grey_levels", "spread_rows", "varied_parts"]

# places tried for a part of a slice: most of a slice may be air
_NUM_PLACES = 8


def grey_levels(slices: SliceSet) -> Tensor:
    """Return magnitudes as they are kept, ``(slices, side, side)`` uint8, 0 to 255.

    Raises:
        ValueError: Slices of two channels, or in floating point.
    """
    values = slices.values
    if values.dtype != torch.uint8 or values.shape[1] != 1:
        found = f"{values.shape[1]} channels of {values.dtype}"
        raise ValueError(f"slices: expected magnitudes in uint8, got {found}")
    return values[:, 0]


def spread_rows(count: int, most: int) -> Tensor:
    """Return at most so many row numbers, evenly from the first to the last of a count."""
    return torch.linspace(0, count - 1, min(count, most), dtype=torch.float64).round().long()


def varied_parts(slices: Tensor, side: int, count: int, generator: torch.Generator) -> Tensor:
    """Return square parts of slices spread over a stack, in [-1, 1], where they are not air.

    Args:
        slices: ``(slices, side, side)`` uint8.
        side: Of the parts.
        count: Of parts, one a slice; all slices if they are fewer.
        generator: Draws eight places in each slice, of which the one of most contrast is taken.
    """
    chosen = spread_rows(len(slices), count)
    stacks = slices[chosen].float().repeat(_NUM_PLACES, 1, 1)
    parts = cropped(stacks, side, generator).reshape(_NUM_PLACES, -1, side, side)
    best = parts.flatten(2).std(2).argmax(0)
    return 2 * parts[best, torch.arange(len(chosen))] / 255 - 1
