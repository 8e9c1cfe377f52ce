"""Pictures of partly known graphs: matrices and drawings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from invdiff.study.laboratory.graph_completion_cases import GROUPS, Task
from invdiff.study.scripted import Arrays

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["drawings", "link_images"]

_INK, _ACCENT, _BLUE, _PALE = "#1f2733", "#b5482a", "#2f6f9f", "#d5dae1"
_PANEL = 1.75


def link_images(arrays: Arrays, task: Task, method: str) -> Figure:
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
    figure.suptitle(f"{task.title}: {method}", fontsize=10)
    return figure


def drawings(arrays: Arrays, task: Task, method: str) -> Figure:
    """Draw truth, what was told and what was made of it; a graph a row."""
    from matplotlib.figure import Figure

    shown = _shown(arrays, task)
    columns = ("truth", "told", method)
    figure = Figure(figsize=(7.2, 2.2 * len(shown) + 0.6), layout="constrained")
    axes = figure.subplots(len(shown), len(columns), squeeze=False)
    for row, group in zip(axes, shown, strict=True):
        truth, told, links = _matrices(arrays, task, group)
        places = arrays[f"places_{task.key}_{group}"]
        none = np.zeros_like(truth, dtype=bool)
        edges, unknown = truth > 0.5, np.isnan(told)
        claimed, found = told > 0.5, links > 0.5
        _draw(row[0], places, {_INK: edges, _BLUE: none})
        false = claimed & ~edges
        _draw(row[1], places, {_INK: claimed & edges, _ACCENT: false, _PALE: unknown})
        asked = unknown if unknown.any() else ~none
        _draw(row[2], places, {
            _INK: found & edges & ~asked if unknown.any() else found & edges & claimed,
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
    from matplotlib.collections import LineCollection

    styles = [(matrix, color, "-") for color, matrix in edges.items()]
    if missed is not None:
        styles.append((missed, _ACCENT, ":"))
    # what is drawn last lies above
    for matrix, color, style in reversed(styles):
        lines = places[np.argwhere(np.triu(matrix, 1))]
        axis.add_collection(LineCollection(list(lines), colors=color, linestyles=style, lw=0.9))
    axis.plot(*places.T, "o", color=_INK, ms=3.5, zorder=3)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
