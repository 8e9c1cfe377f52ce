"""Pictures of estimates with their errors, and of laws of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from invdiff.theory.chapter.drawing import COLORS, GREY, draw_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_estimates", "draw_law", "draw_pairs", "draw_rate"]


def draw_estimates(
    axes: Axes,
    x: ArrayLike,
    estimates: ArrayLike,
    errors: ArrayLike,
    exact: ArrayLike,
    labels: Sequence[str],
) -> None:
    """Draw estimates with twice their standard errors over the exact curve.

    Args:
        axes: Where to draw.
        x: Places.
        estimates: Of each place.
        errors: Standard error of each, or one of all.
        exact: The curve, one number a place or one of all.
        labels: Of the horizontal axis, the vertical axis and the exact curve.
    """
    x = np.asarray(x, dtype=float)
    curve = np.broadcast_to(np.asarray(exact, dtype=float), x.shape)
    axes.plot(x, curve, color=GREY, linewidth=4, alpha=0.45, label=labels[2])
    axes.errorbar(
        x, np.asarray(estimates), yerr=2 * np.asarray(errors), fmt="o", markersize=3.5,
        color=COLORS[0], elinewidth=1, label="measured, 2 standard errors",
    )  # fmt: skip
    axes.set(xlabel=labels[0], ylabel=labels[1])
    axes.legend(frameon=False, fontsize=7)


def draw_law(
    axes: Axes,
    samples: ArrayLike,
    x: ArrayLike,
    density: ArrayLike,
    xlabel: str,
    *,
    name: str = "exact",
    bins: int = 40,
) -> None:
    """Draw a histogram of samples under the density that they should have, given at x."""
    axes.hist(np.ravel(samples), bins=bins, density=True, color=COLORS[1], alpha=0.5)
    axes.plot(x, density, color=COLORS[0], linewidth=1.5, label=name)
    axes.set(xlabel=xlabel, ylabel="density")
    axes.legend(frameon=False, fontsize=7)


def draw_pairs(
    axes: Axes,
    x: ArrayLike,
    pairs: Mapping[str, tuple[ArrayLike, ArrayLike]],
    labels: Sequence[str],
) -> None:
    """Draw for each name the exact curve as a line and the measured values as points.

    Args:
        axes: Where to draw.
        x: Places.
        pairs: Exact and measured values, by name.
        labels: Of the horizontal and the vertical axis.
    """
    for number, (name, (exact, measured)) in enumerate(pairs.items()):
        color = COLORS[number % len(COLORS)]
        axes.plot(x, exact, color=color, linewidth=3, alpha=0.4, label=f"{name}, exact")
        axes.plot(x, measured, "o", color=color, markersize=3.5, label=f"{name}, measured")
    axes.set(xlabel=labels[0], ylabel=labels[1])
    axes.legend(frameon=False, fontsize=7)


def draw_rate(
    axes: Axes,
    counts: Sequence[int],
    lines: Mapping[str, tuple[ArrayLike, float]],
    xlabel: str,
) -> None:
    """Draw errors over counts as ``draw_order`` does, with a tick at each count."""
    draw_order(axes, counts, lines, xlabel)
    axes.set_xticks(list(counts), [str(count) for count in counts])
    axes.minorticks_off()
