"""Pictures of facts that recur: points on a diagonal, curves, orders, bars of errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLORS", "GREY", "draw_bars", "draw_curves", "draw_diagonal", "draw_order"]

COLORS = ("#b5482a", "#2f6f9f", "#5b8c3e", "#8a5aa3")
GREY = "#667085"


def draw_diagonal(
    axes: Axes, exact: ArrayLike, measured: ArrayLike, xlabel: str, ylabel: str
) -> None:
    """Draw measured values over exact ones, with the diagonal on which they should lie."""
    exact, measured = np.ravel(exact), np.ravel(measured)
    axes.axline((float(exact.mean()),) * 2, slope=1, color=GREY, linestyle="--", linewidth=1)
    axes.plot(exact, measured, ".", color=COLORS[0], markersize=4)
    axes.set(xlabel=xlabel, ylabel=ylabel)


def draw_curves(
    axes: Axes,
    x: ArrayLike,
    exact: ArrayLike | None,
    measured: Mapping[str, ArrayLike],
    xlabel: str,
    ylabel: str,
) -> None:
    """Draw measured curves, by name, over the exact one in grey."""
    if exact is not None:
        axes.plot(x, exact, color=GREY, linewidth=4, alpha=0.45, label="exact")
    for number, (name, values) in enumerate(measured.items()):
        axes.plot(x, values, color=COLORS[number % len(COLORS)], linewidth=1.3, label=name)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.legend(frameon=False, fontsize=7)


def draw_order(
    axes: Axes, steps: ArrayLike, lines: Mapping[str, tuple[ArrayLike, float]], xlabel: str
) -> None:
    """Draw errors over step sizes or numbers of samples, both logarithmic.

    Args:
        axes: Where to draw.
        steps: Step sizes, or numbers of samples.
        lines: For each method its errors, and the slope of the dashed line beside them.
        xlabel: What the steps are.
    """
    steps = np.asarray(steps, dtype=float)
    for number, (name, (errors, slope)) in enumerate(lines.items()):
        color, values = COLORS[number % len(COLORS)], np.asarray(errors, dtype=float)
        axes.loglog(steps, values, "o-", color=color, markersize=3.5, linewidth=1.2, label=name)
        guide = values[0] * (steps / steps[0]) ** slope
        axes.loglog(steps, guide, "--", color=color, linewidth=0.8, alpha=0.7)
    axes.set(xlabel=xlabel, ylabel="error")
    axes.legend(frameon=False, fontsize=7)


def draw_bars(
    axes: Axes, names: Sequence[str], values: ArrayLike, xlabel: str, limit: float | None = None
) -> None:
    """Draw one bar for each name, logarithmic if a limit is given, with the limit as a line."""
    heights: Any = np.asarray(values, dtype=float)
    if limit is not None:
        # rounding may leave nothing, which has no logarithm
        heights = np.maximum(heights, limit * 1e-8)
        axes.set_xscale("log")
        axes.axvline(limit, color=GREY, linestyle="--", linewidth=1)
    axes.barh(range(len(names)), heights, color=COLORS[1], height=0.6)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.invert_yaxis()
    axes.set(xlabel=xlabel)
