"""A picture of a few slices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from invdiff.training.slice_set import SliceSet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["contact_sheet"]

_PANEL = 1.8


def contact_sheet(slices: SliceSet, count: int = 12, columns: int = 6) -> Figure:
    """Draw slices spread over a set, black at the bottom of the range and white at its top.

    Args:
        slices: Of complex ones the magnitude is shown.
        count: Of slices; all if they are fewer.
        columns: Of the sheet.
    """
    from matplotlib.figure import Figure

    rows = torch.linspace(0, len(slices) - 1, min(count, len(slices))).round().long()
    images = slices.images(rows).cpu()
    pictures = (images[:, 0] + 1) / 2 if images.shape[1] == 1 else images.norm(dim=1)
    columns = min(columns, len(rows))
    height = math.ceil(len(rows) / columns)
    figure = Figure(figsize=(_PANEL * columns, 1.15 * _PANEL * height), layout="constrained")
    axes = figure.subplots(height, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, row, picture in zip(axes, rows.tolist(), pictures, strict=False):
        axis.imshow(picture.numpy(), cmap="gray", vmin=0, vmax=1)
        axis.set_title(_title(slices, row), fontsize=7)
    return figure


def _title(slices: SliceSet, row: int) -> str:
    words = [slices.subjects[row] or f"slice {row}"]
    if slices.labels is not None:
        words.append(slices.classes[int(slices.labels[row])])
    return ", ".join(words)
