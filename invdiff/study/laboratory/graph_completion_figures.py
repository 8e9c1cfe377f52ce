"""Figures of the completion of graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from invdiff.study.laboratory.graph_completion_cases import GROUPS, Task
from invdiff.study.laboratory.graph_completion_config import MethodConfig
from invdiff.study.laboratory.graph_completion_exact import EXACT_PRIORS
from invdiff.study.scripted import Arrays, Metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "EXACT_TITLES",
    "NEIGHBOUR_TITLES",
    "drawings",
    "exact_posteriors",
    "link_images",
    "ranking",
    "reliability",
]

NEIGHBOUR_TITLES = {
    "common_neighbors": "common neighbours",
    "adamic_adar": "Adamic-Adar",
    "jaccard": "Jaccard",
    "preferential_attachment": "preferential attachment",
}
EXACT_TITLES = {
    "gaussian": "Gaussian graph",
    "edges": "independent edges",
    "mixture": "three kinds of graphs",
}
_COLORS = ("#b5482a", "#2f6f9f", "#5b8c3e", "#8a5aa3", "#c08a1e", "#4f8a8b", "#98a2b3")
_ACCENT, _BLUE, _GREY = "#b5482a", "#2f6f9f", "#98a2b3"
_PANEL = 1.75


def exact_posteriors(metrics: Metrics, arrays: Arrays, methods: Sequence[MethodConfig]) -> Figure:
    """Show errors of means in standard errors, and ratios of standard deviations."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.4, 1.4 + 0.42 * len(methods)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for p, name in enumerate(EXACT_PRIORS):
        places = np.arange(len(methods)) + 0.22 * (p - 1)
        color, label = _COLORS[p], EXACT_TITLES[name]
        for place, method in zip(places, methods, strict=True):
            z = arrays[f"z_{name}_{method.key}"]
            left.plot(z, np.full(z.shape, place), ".", color=color, alpha=0.6, ms=5)
        ratios = [metrics[f"std_ratio_{name}_{method.key}"] for method in methods]
        right.plot(ratios, places, "o", color=color, label=label, ms=5)
    left.axvspan(-3, 3, color=_GREY, alpha=0.25, lw=0)
    left.set_xscale("symlog", linthresh=5)
    left.set(xlabel="error of a mean, in standard errors")
    left.set_yticks(range(len(methods)), [method.title for method in methods], fontsize=8)
    left.invert_yaxis()
    right.axvline(1, color=_GREY, ls="--", lw=1)
    right.set(xlabel="standard deviation over the exact one", xlim=(0, None))
    figure.legend(*right.get_legend_handles_labels(), loc="outside upper center", ncols=3,
                  frameon=False, fontsize=8)  # fmt: skip
    _finish(left, right)
    return figure


def ranking(metrics: Metrics, tasks: Sequence[Task], titles: Mapping[str, str]) -> Figure:
    """Show the area under the ROC curve, a dot a graph; bars are means."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.4 + 2.4 * len(tasks), 1.0 + 0.3 * len(titles)), layout="constrained")
    axes = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    new = np.array(metrics["groups"]) > 0
    rows = list(titles)
    for axis, task in zip(axes, tasks, strict=True):
        for row, key in enumerate(rows):
            name = f"auc_{task.key}_{key}"
            if name not in metrics:
                continue
            values = np.array(metrics[f"{name}_graphs"])[new]
            color = _GREY if key in (*NEIGHBOUR_TITLES, "independent", "communities") else _BLUE
            spread = values.std(ddof=1) if len(values) > 1 else 0.0
            axis.barh(row, values.mean(), color=color, height=0.7, alpha=0.85)
            axis.errorbar(values.mean(), row, xerr=spread, color="#1f2733", lw=1, capsize=2)
        axis.axvline(0.5, color="#1f2733", ls="--", lw=0.8)
        axis.set(xlim=(0, 1.02), xlabel="area under the ROC curve")
        axis.set_title(task.title, fontsize=9)
        axis.set_yticks(range(len(rows)), [titles[key] for key in rows], fontsize=8)
    axes[0].invert_yaxis()
    _finish(*axes)
    return figure


def reliability(arrays: Arrays, tasks: Sequence[Task], titles: Mapping[str, str]) -> Figure:
    """Show how often a link of some probability is there, for each task."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(0.6 + 2.7 * len(tasks), 3.5), layout="constrained")
    axes = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for axis, task in zip(axes, tasks, strict=True):
        axis.plot([0, 1], [0, 1], "--", color=_GREY, lw=1)
        for color, (key, title) in zip(_COLORS, titles.items(), strict=False):
            name = f"{task.key}_{key}"
            counts = arrays[f"count_{name}"]
            seen = counts > 0
            mean, share = (arrays[f"{what}_{name}"][seen] for what in ("mean", "share"))
            axis.plot(mean, share, "-", color=color, lw=1, alpha=0.7)
            axis.scatter(
                mean, share, 4 + 60 * counts[seen] / counts.sum(), color=color, label=title
            )
        axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", xlabel="probability")
        axis.set_title(task.title, fontsize=9)
    axes[0].set_ylabel("share that are edges")
    handles, labels = axes[0].get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8,
                           frameon=False)  # fmt: skip
    for handle in legend.legend_handles:
        handle.set_sizes([20])  # type: ignore[union-attr]
    _finish(*axes)
    return figure


def link_images(arrays: Arrays, task: Task, method: MethodConfig) -> Figure:
    """Show truth, what was told, probabilities, their difference and spread; a graph a row."""
    from matplotlib.figure import Figure

    shown = _shown(arrays, task)
    columns = ("truth", "told", "probability", "minus truth", "standard deviation")
    figure = Figure(
        figsize=(_PANEL * len(columns) + 0.7, (_PANEL + 0.1) * len(shown) + 0.5),
        layout="constrained",
    )
    axes = figure.subplots(len(shown), len(columns), squeeze=False)
    for row, group in zip(axes, shown, strict=True):
        truth, told, links = _matrices(arrays, task, group)
        spread = np.sqrt(links * (1 - links))
        np.fill_diagonal(spread, 0)
        panels = (truth, told, links, links - truth, spread)
        for axis, title, panel in zip(row, columns, panels, strict=True):
            drawn = _image(axis, title, panel)
            if axis in axes[0]:
                axis.set_title(title, fontsize=9)
            if axis in axes[-1] and title != "truth" and title != "told":
                figure.colorbar(drawn, ax=axes[:, columns.index(title)], location="bottom",
                                fraction=0.04, pad=0.02).ax.tick_params(labelsize=7)  # fmt: skip
        row[0].set_ylabel(GROUPS[group], fontsize=9)
    figure.suptitle(f"{task.title}: {method.title}", fontsize=10)
    return figure


def drawings(arrays: Arrays, task: Task, method: MethodConfig) -> Figure:
    """Draw truth, what was told and what was made of it; a graph a row."""
    from matplotlib.figure import Figure

    shown = _shown(arrays, task)
    columns = ("truth", "told", method.title)
    figure = Figure(figsize=(7.2, 2.2 * len(shown) + 0.6), layout="constrained")
    axes = figure.subplots(len(shown), len(columns), squeeze=False)
    for row, group in zip(axes, shown, strict=True):
        truth, told, links = _matrices(arrays, task, group)
        places = arrays[f"places_{task.key}_{group}"]
        none = np.zeros_like(truth, dtype=bool)
        edges, unknown = truth > 0.5, np.isnan(told)
        claimed, found = told > 0.5, links > 0.5
        _draw(row[0], places, {"#1f2733": edges, _BLUE: none})
        false = claimed & ~edges
        _draw(row[1], places, {"#1f2733": claimed & edges, _ACCENT: false, "#d5dae1": unknown})
        asked = unknown if unknown.any() else ~none
        _draw(row[2], places, {
            "#1f2733": found & edges & ~asked if unknown.any() else found & edges & claimed,
            _BLUE: found & edges & (asked if unknown.any() else ~claimed),
            _ACCENT: found & ~edges,
        }, edges & ~found)  # fmt: skip
        row[0].set_ylabel(GROUPS[group], fontsize=9)
    for axis, title in zip(axes[0], columns, strict=True):
        axis.set_title(title, fontsize=9)
    figure.suptitle(task.title, fontsize=10)
    return figure


def _shown(arrays: Arrays, task: Task) -> list[int]:
    return [g for g in range(len(GROUPS)) if f"truth_{task.key}_{g}" in arrays]


def _matrices(arrays: Arrays, task: Task, group: int) -> tuple[NDArray[Any], ...]:
    return tuple(arrays[f"{what}_{task.key}_{group}"] for what in ("truth", "told", "matrix"))


def _image(axis: Axes, title: str, panel: NDArray[Any]) -> Any:
    from matplotlib import colormaps

    limits, name = {
        "minus truth": ((-1.0, 1.0), "RdBu_r"),
        "standard deviation": ((0.0, 0.5), "magma"),
    }.get(title, ((0.0, 1.0), "Greys"))
    colors = colormaps[name].with_extremes(bad="#c9dcec")
    axis.set(xticks=[], yticks=[])
    return axis.imshow(np.ma.masked_invalid(panel), cmap=colors, vmin=limits[0], vmax=limits[1])


def _draw(
    axis: Axes, places: NDArray[Any], edges: Mapping[str, NDArray[Any]],
    missed: NDArray[Any] | None = None,
) -> None:  # fmt: skip
    """Draw nodes and edges of each colour; missed ones dashed."""
    styles = [(matrix, color, "-") for color, matrix in edges.items()]
    if missed is not None:
        styles.append((missed, _ACCENT, ":"))
    # what is drawn last lies above
    for matrix, color, style in reversed(styles):
        for i, j in np.argwhere(np.triu(matrix, 1)):
            axis.plot(*places[[i, j]].T, style, color=color, lw=0.9)
    axis.plot(*places.T, "o", color="#1f2733", ms=3.5, zorder=3)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def _finish(*axes: Axes) -> None:
    for axis in axes:
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
