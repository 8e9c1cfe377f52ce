"""Pictures of facts that recur: a diagonal, curves, orders, bars, estimates, histograms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLORS", "GREY", "draw_bars", "draw_curves", "draw_diagonal", "draw_estimates",
           "draw_law", "draw_order", "draw_pairs"]  # fmt: skip

COLORS = ("#b5482a", "#2f6f9f", "#5b8c3e", "#8a5aa3", "#333333")
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
    axes: Axes,
    steps: ArrayLike,
    lines: Mapping[str, tuple[ArrayLike, float]],
    xlabel: str,
    ylabel: str = "error",
) -> None:
    """Draw errors over step sizes or numbers of samples, both logarithmic.

    Args:
        axes: Where to draw.
        steps: Step sizes, or numbers of samples.
        lines: For each method its errors, and the slope of the dashed line beside them.
        xlabel: What the steps are.
        ylabel: What the errors are.
    """
    steps = np.asarray(steps, dtype=float)
    for number, (name, (errors, slope)) in enumerate(lines.items()):
        color, values = COLORS[number % len(COLORS)], np.asarray(errors, dtype=float)
        axes.loglog(steps, values, "o-", color=color, markersize=3.5, linewidth=1.2, label=name)
        guide = values[0] * (steps / steps[0]) ** slope
        axes.loglog(steps, guide, "--", color=color, linewidth=0.8, alpha=0.7)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.legend(frameon=False, fontsize=7)
    _name_ticks(axes, steps)


def _name_ticks(axes: Axes, steps: np.ndarray) -> None:
    """Name the steps themselves where fewer than two decades would leave the axis bare."""
    if steps.max() < 100 * steps.min():
        chosen = steps[:: math.ceil(len(steps) / 6)]
        axes.set_xticks(chosen, [f"{step:.2g}" if step < 1 else f"{step:g}" for step in chosen])
        axes.xaxis.set_tick_params(which="minor", bottom=False, labelbottom=False)


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
