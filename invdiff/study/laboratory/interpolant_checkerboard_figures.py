"""Figures and a film of the checkerboard study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from invdiff.study.scripted import Arrays, Metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["density", "divergences", "loss", "paths", "write_film"]

_COLORS = {"ode": "#2f6f9f", "sde": "#b5482a", "constant": "#b5482a", "matched": "#5b8c3e"}
_GREY = "#98a2b3"
_TITLES = {"ode": "ODE", "sde": "SDE"}
_LABELS = {
    "constant": r"SDE, $\epsilon = c$",
    "matched": r"SDE, $\epsilon = c\,(1 - t) / t$",
}
# film: pictures a second, and how often the last one is shown
_RATE, _REST = 12, 12


def paths(arrays: Arrays, half_width: float) -> Figure:
    """Draw the points of both processes at five times.

    Args:
        arrays: With "path_ode", "path_sde" ``(times, count, 2)`` and "path_times".
        half_width: Of the board.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.2, 4.3), layout="constrained")
    axes = figure.subplots(2, 5, sharex=True, sharey=True)
    for row, name in zip(axes, ("ode", "sde"), strict=True):
        for axis, time in zip(row, (0, 0.25, 0.5, 0.75, 1), strict=True):
            i = int(np.abs(arrays["path_times"] - time).argmin())
            axis.scatter(*arrays[f"path_{name}"][i].T, s=1, color=_COLORS[name], linewidths=0)
            _board(axis, half_width)
            if name == "ode":
                axis.set_title(f"t = {time:g}", fontsize=10)
        row[0].set_ylabel(_TITLES[name])
    return figure


def density(arrays: Arrays, entropy: float) -> Figure:
    """Draw the density of the ODE, and its logarithm.

    Args:
        arrays: With "density_axis" and "log_density" ``(columns, rows)``.
        entropy: Minus the true log density on the support.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 3.7), layout="constrained")
    ends = (arrays["density_axis"][0], arrays["density_axis"][-1])
    picture = arrays["log_density"].T + entropy
    kinds = (
        (np.exp(picture), "density / true density on the support", (0, 2), "RdBu_r"),
        (picture, "log of it", (-8, 2), "magma"),
    )
    for axis, (values, title, limits, colors) in zip(figure.subplots(1, 2), kinds, strict=True):
        drawn = axis.imshow(
            values, origin="lower", extent=(*ends, *ends), cmap=colors, vmin=limits[0],
            vmax=limits[1],
        )  # fmt: skip
        axis.set_title(title, fontsize=10)
        figure.colorbar(drawn, ax=axis, shrink=0.9)
    return figure


def loss(arrays: Arrays) -> Figure:
    """Draw the loss of each step, and means of it.

    Args:
        arrays: With "loss".
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.4), layout="constrained")
    axis = figure.subplots()
    values = arrays["loss"]
    width = max(1, len(values) // 60)
    means = values[: len(values) // width * width].reshape(-1, width).mean(1)
    steps = np.arange(1, len(values) + 1)
    axis.plot(steps, values, color=_GREY, linewidth=0.3, alpha=0.4)
    axis.plot(width * (np.arange(len(means)) + 0.5), means, color=_COLORS["ode"])
    low, high = means.min(), np.median(values[: max(1, width)])
    axis.set(xlabel="step", ylabel="loss", ylim=(low - 0.2 * (high - low) - 1e-3, high + 1e-3))
    return figure


def divergences(metrics: Metrics, scales: Sequence[float], keys: dict[str, list[str]]) -> Figure:
    """Draw the divergence against the amount of noise, beside that of the ODE, and the bounds.

    Args:
        metrics: With "kl_KEY", "kl_error_KEY" and "bound_KEY".
        scales: c.
        keys: Of the runs of each schedule, in the order of the scales.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.2, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True)
    for name, runs in keys.items():
        style = {"color": _COLORS[name], "label": _LABELS[name]}
        values, errors = ([metrics[f"{what}_{key}"] for key in runs] for what in ("kl", "kl_error"))
        left.errorbar(scales, values, errors, marker="o", markersize=4, **style)
        right.plot(scales, [metrics[f"bound_{key}"] for key in runs], "o-", markersize=4, **style)
    left.axhline(metrics["kl_ode"], color=_COLORS["ode"], label="ODE")
    left.axhline(metrics["kl_true"], color=_GREY, linestyle=":", label="true samples")
    left.axhline(
        metrics["nll"] - metrics["entropy"], color=_COLORS["ode"], linestyle="--",
        label="ODE, by its likelihood",
    )  # fmt: skip
    left.set(ylabel="KL(truth | samples), on a grid / nats", title="measured")
    right.set(ylabel="bound / nats", title="Girsanov's bound", yscale="log")
    left.set(xscale="log", xlabel="c", ylim=(min(0.0, 1.5 * metrics["kl_true"]), None))
    right.set(xlabel="c")
    right.set_xticks(scales, [f"{c:g}" for c in scales])
    right.set_xticks([], minor=True)
    left.legend(fontsize=8)
    right.legend(fontsize=8)
    return figure


def write_film(folder: Path, path: dict[str, NDArray[np.float32]], half_width: float) -> None:
    """Write ``checkerboard.gif``: the points of both processes on their way.

    Args:
        folder: Where to.
        path: Points of each, ``(times, count, 2)``.
        half_width: Of the board.
    """
    from matplotlib.animation import FuncAnimation, PillowWriter
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(4.4, 2.3), dpi=72, layout="constrained")
    drawn = {}
    for axis, (name, points) in zip(figure.subplots(1, 2), path.items(), strict=True):
        drawn[name] = axis.scatter(*points[0].T, s=1, color=_COLORS[name], linewidths=0)
        axis.set_title(_TITLES[name], fontsize=9)
        _board(axis, half_width)
    count = len(next(iter(path.values())))

    def show(i: int) -> list[object]:
        for name, points in path.items():
            drawn[name].set_offsets(points[min(i, count - 1)])
        return list(drawn.values())

    film = FuncAnimation(figure, show, frames=count + _REST)  # type: ignore[arg-type]
    film.save(folder / "checkerboard.gif", writer=PillowWriter(fps=_RATE))


def _board(axis: Axes, half_width: float) -> None:
    end = 1.15 * half_width
    axis.set(xlim=(-end, end), ylim=(-end, end), xticks=[], yticks=[], aspect="equal")
