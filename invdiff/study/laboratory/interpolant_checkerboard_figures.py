"""Figures and a film of the checkerboard study."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from invdiff.study.laboratory.interpolant_checkerboard_runs import SdeRun
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
    """Draw means of the loss over ever more steps.

    Args:
        arrays: With "loss".
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.4), layout="constrained")
    axis = figure.subplots()
    values = arrays["loss"]
    # bins of growing width tell the fast start from the slow end, where noise is averaged
    later = np.geomspace(min(20, len(values)), len(values) + 1, 16)
    edges = np.unique(np.append(1, later).round().astype(int))
    bins = [values[low - 1 : high - 1] for low, high in itertools.pairwise(edges)]
    middle = np.sqrt(edges[:-1] * (edges[1:] - 1))
    errors = [part.std() / len(part) ** 0.5 for part in bins]
    means = [part.mean() for part in bins]
    axis.errorbar(middle, means, errors, color=_COLORS["ode"], marker="o", markersize=3)
    axis.set(xscale="log", xlabel="step", ylabel="loss")
    axis.grid(alpha=0.3)
    return figure


def divergences(metrics: Metrics, runs: Mapping[str, SdeRun]) -> Figure:
    """Draw divergences against the amount of noise, beside the ODE's, and the bounds.

    Args:
        metrics: With "gain_KEY", "kl_KEY", their errors and "bound_KEY".
        runs: SDEs by key.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.4, 3.7), layout="constrained")
    paired, grid, bounds = figure.subplots(1, 3, sharex=True)
    for schedule, label in _LABELS.items():
        keys = [key for key, run in runs.items() if run.schedule == schedule]
        scales = [runs[key].scale for key in keys]
        style = {"color": _COLORS[schedule], "label": label, "marker": "o", "markersize": 4}
        gains, gain_errors = _columns(metrics, "gain", keys)
        paired.errorbar(scales, [-gain for gain in gains], gain_errors, capsize=3, **style)
        grid.errorbar(scales, *_columns(metrics, "kl", keys), capsize=3, **style)
        bounds.plot(scales, [metrics[f"bound_{key}"] for key in keys], **style)
    paired.axhline(0, color=_COLORS["ode"], label="ODE")
    kl, error = metrics["kl_ode"], metrics["kl_ode_error"]
    grid.axhline(kl, color=_COLORS["ode"], label="ODE")
    grid.axhspan(kl - error, kl + error, color=_COLORS["ode"], alpha=0.2, linewidth=0)
    grid.axhline(metrics["kl_true"], color=_GREY, linestyle=":", label="true samples")
    paired.set(title="by densities", ylabel="KL(truth | SDE) - KL(truth | ODE) / nats")
    grid.set(title="on a grid", ylabel="KL(truth | samples) / nats")
    bounds.set(title="Girsanov's bound", ylabel="bound / nats", yscale="log")
    scales = sorted({run.scale for run in runs.values()})
    for axis in (paired, grid, bounds):
        axis.set(xscale="log", xlabel="c")
        axis.set_xticks(scales, [f"{c:g}" for c in scales])
        axis.set_xticks([], minor=True)
        axis.legend(fontsize=8)
    return figure


def _columns(metrics: Metrics, what: str, keys: list[str]) -> tuple[list[float], list[float]]:
    values = [metrics[f"{what}_{key}"] for key in keys]
    return values, [metrics[f"{what}_{key}_error"] for key in keys]


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
