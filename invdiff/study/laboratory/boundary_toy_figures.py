"""Figures of the toy study of boundary conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from invdiff.study.laboratory.boundary_toy_runs import expected_gain
from invdiff.study.scripted import Arrays

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["component_figure", "gain_figure", "loss_figure", "order_figure"]

_COLORS = ("#b5482a", "#2f6f9f", "#5b8c3e", "#8a5aa3", "#c08a1e", "#3b8f8f", "#7a4a3a")
_GREY = "#98a2b3"
_BEST, _OPTIMUM = _COLORS[:2]
_MARKERS = "osD^vP*X"
_IMAGE_DIMS = 1e5
# line, filling (None: that of the line) and name
_WHERE = {"held_out": ("o-", None, "held out"), "reference": ("s:", "none", "on the references")}


def loss_figure(arrays: Arrays) -> Figure:
    """Draw loss against the number of candidates, and against that of references.

    Args:
        arrays: With "counts", "best_WHERE", "random_held_out", "zero_held_out" of all
            repetitions, and "references", "by_references_WHAT_WHERE".
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.2, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _losses_by_candidates(left, arrays)
    _losses_by_references(right, arrays)
    left.set_ylabel("squared error / tr S")
    left.set_ylim(0.5, 2.55)
    return figure


def gain_figure(arrays: Arrays) -> Figure:
    """Draw the gain of the search against the effective dimension, one color a K.

    Args:
        arrays: With "counts", and "dims_KIND", "gain_KIND" of both kinds of spectra.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 4.0), layout="constrained")
    axis = figure.subplots()
    # on to the dimensions of images, where no toy is needed
    smooth = np.geomspace(1, _IMAGE_DIMS, 80)
    for j, count in enumerate(arrays["counts"].tolist()):
        color = _COLORS[j % len(_COLORS)]
        axis.plot(smooth, expected_gain(smooth, count), color=color, label=f"best of {count}")
        axis.plot(smooth, 2 * np.sqrt(np.log(count) / smooth), ":", color=color)
        for kind, marker in (("isotropic", "o"), ("power", "x")):
            axis.plot(arrays[f"dims_{kind}"], arrays[f"gain_{kind}"][:, j], marker, color=color)
    axis.plot([], [], "o", color=_GREY, label="equal variances")
    axis.plot([], [], "x", color=_GREY, label="power laws")
    axis.plot([], [], ":", color=_GREY, label=r"$2\sqrt{\ln K / d}$")
    axis.set(xscale="log", yscale="log", ylim=(0.006, 1.3))
    axis.set(xlabel=r"effective dimension $(\mathrm{tr}\,S)^2 / \mathrm{tr}\,S^2$")
    axis.set(ylabel="held-out gain over a random boundary / tr S")
    axis.legend(fontsize=8)
    return figure


def component_figure(arrays: Arrays) -> Figure:
    """Draw the mean square of each component of the boundaries that were found.

    Args:
        arrays: With "counts", "best_squares" ``(repetitions, counts, dims)``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.4), layout="constrained")
    axis = figure.subplots()
    squares = arrays["best_squares"].mean(0)
    numbers = np.arange(1, squares.shape[1] + 1)
    axis.axhline(1, color=_GREY, linestyle="--", linewidth=1, label="random")
    for j, count in enumerate(arrays["counts"].tolist()):
        axis.plot(
            numbers, squares[j], ".-", color=_COLORS[j % len(_COLORS)], label=f"best of {count}"
        )
    axis.set(xscale="log", ylim=(0, None), xlabel="component, by decreasing posterior variance")
    axis.set(ylabel="mean square of $x_T$")
    axis.legend(fontsize=8)
    return figure


def order_figure(arrays: Arrays, problems: Sequence[str], orders: Mapping[str, Any]) -> Figure:
    """Draw the error of each method against its network calls, a problem a panel.

    Args:
        arrays: With "calls" and "errors_PROBLEM_METHOD".
        problems: Names of the panels.
        orders: Fitted order of each method, by "PROBLEM_METHOD".
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * len(problems), 3.9), layout="constrained")
    axes = figure.subplots(1, len(problems), sharey=True, squeeze=False)[0]
    for axis, problem in zip(axes, problems, strict=True):
        methods = [key for key in orders if key.startswith(f"{problem}_")]
        for j, key in enumerate(methods):
            name = key.removeprefix(f"{problem}_")
            style = {"color": _COLORS[j % len(_COLORS)], "marker": _MARKERS[j % len(_MARKERS)]}
            calls, errors = arrays["calls"], arrays[f"errors_{key}"]
            label = f"{name}: {orders[key]:.2f}"
            axis.loglog(calls, errors, markersize=4, linewidth=1.2, label=label, **style)
        _slopes(axis, arrays["calls"])
        axis.set(xlabel="network calls", title=problem)
        axis.legend(fontsize=8, title="fitted order", title_fontsize=8)
    axes[0].set_ylabel("error / spread of the images")
    return figure


def _losses_by_candidates(axis: Axes, arrays: Arrays) -> None:
    counts = arrays["counts"]
    for where, (style, filled, label) in _WHERE.items():
        losses = arrays[f"best_{where}"].mean(0)
        axis.plot(
            counts, losses, style, color=_BEST, mfc=filled or _BEST, label=f"best of K, {label}"
        )
    mean, scatter = (f(arrays["best_held_out"], axis=0) for f in (np.mean, np.std))
    axis.fill_between(counts, mean - scatter, mean + scatter, color=_BEST, alpha=0.15, linewidth=0)
    for name, label in (("random", "random"), ("zero", "$x_T = 0$: the posterior mean")):
        level = arrays[f"{name}_held_out"].mean()
        axis.axhline(level, color=_GREY, linestyle="--", linewidth=1)
        axis.text(counts[0], level + 0.02, label, fontsize=8, color="#475467")
    axis.set(xscale="log", xlabel="candidates K", title="more candidates")
    axis.legend(fontsize=8)


def _losses_by_references(axis: Axes, arrays: Arrays) -> None:
    references = arrays["references"]
    smooth = np.geomspace(references[0], references[-1], 100)
    most = arrays["counts"][-1]
    for name, color, label in (
        ("best", _BEST, f"best of {most}"),
        ("optimum", _OPTIMUM, "optimum of the references"),
    ):
        for where, (style, filled, suffix) in _WHERE.items():
            losses = arrays[f"by_references_{name}_{where}"]
            # the optimum's lines are the closed form
            shown = style if name == "best" else style[0]
            full = f"{label}, {suffix}"
            axis.plot(references, losses, shown, color=color, mfc=filled or color, label=full)
    for sign, line in ((1, "-"), (-1, ":")):
        axis.plot(smooth, 1 + sign / smooth, line, color=_OPTIMUM, linewidth=1)
    axis.set(xscale="log", xlabel="references R", title="more references")
    axis.legend(fontsize=8)


def _slopes(axis: Axes, calls: NDArray[Any]) -> None:
    """Draw the slopes of orders 1 and 2 from one point above the errors."""
    low, high = axis.get_ylim()
    span = np.array([calls[len(calls) // 2], calls[-1]], dtype=float)
    for order in (1, 2):
        line = high / 1.5 * (span / span[0]) ** -order
        axis.plot(span, line, "--", color=_GREY, linewidth=1)
        axis.text(span[-1], line[-1], f" {order}", color="#475467")
    axis.set_ylim(low, high)
