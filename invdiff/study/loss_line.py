"""The loss of a training as a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_loss"]

_MEAN, _STEP = "#b5482a", "#98a2b3"
_NUM_BLOCKS = 50


def draw_loss(axis: Axes, values: NDArray[Any], label: str) -> float:
    """Draw the loss of each step and means of blocks of them, and return the highest mean.

    Args:
        axis: Where to.
        values: ``(steps,)``.
        label: Of the means.
    """
    axis.plot(np.arange(1, len(values) + 1), values, color=_STEP, linewidth=0.4, alpha=0.6)
    blocks = np.array_split(values, min(_NUM_BLOCKS, len(values)))
    centres = np.cumsum([len(b) for b in blocks]) - [(len(b) - 1) / 2 for b in blocks]
    means = [block.mean() for block in blocks]
    axis.plot(centres, means, color=_MEAN, label=label)
    return float(max(means))
