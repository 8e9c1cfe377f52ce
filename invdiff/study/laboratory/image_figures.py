"""Figures of what many samplers draw for one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ensemble_figure", "score_figure", "size_figure", "title_of"]

_TITLES = {
    "exact": "exact posterior",
    "afdps": "Ensemble",
    "afdps-published": "AFDPS, published",
    "mcg-diff": "MCGDiff",
    "tds": "TDS",
    "red-diff": "RED-diff",
    "red-diff-once": "RED-diff, one run",
    "diffpir": "DiffPIR",
    "diffpir-tuned": "DiffPIR, tuned",
    "dds": "DDS",
    "dps": "DPS",
    "daps": "DAPS",
}
TASK_TITLES = {
    "exact": "exact posterior",
    "box": "inpainting, box",
    "random": "inpainting, 30 %",
    "blur": "deblurring",
    "sr4": "4x coarser grid",
    "ct": "CT, few views",
}
_LABELS = {"crps": "CRPS (% of the range)", "coverage_90": "coverage of the 90 % interval"}
_MISSING, _INK, _GREY = "#b9cbe0", "#1f2733", "#667085"
_PANEL = 1.35
# the slices of the shipped series: below are air and fat, above is bone
_WINDOW = (0.2, 0.7)
# of the range: what counts as a large error or a large spread
_LARGE = 0.15


def title_of(method: str) -> str:
    """Return the name of a sampler's kind."""
    return _TITLES.get(method, method)


def ensemble_figure(task: str, methods: Mapping[str, str], arrays: Mapping[str, Any]) -> Figure:
    """Show truth and measurement, and of each method mean, one sample, spread and error."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    columns = len(methods) + 1
    size = (_PANEL * columns + 0.9, 4 * _PANEL + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(4, columns, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    truth = arrays["truth"]
    low, high = _window(truth)
    grey = {"cmap": colormaps["gray"].with_extremes(bad=_MISSING), "interpolation": "nearest"}
    shown = axes[0, 0].imshow(truth, vmin=low, vmax=high, **grey)
    axes[0, 0].set_title("truth", fontsize=8)
    _draw_measurement(axes[1, 0], task, arrays[f"measurement_{task}"], (low, high), grey)
    for column, (key, title) in enumerate(methods.items(), 1):
        mean, std = arrays[f"mean_{key}_{task}"], arrays[f"std_{key}_{task}"]
        axes[0, column].imshow(mean, vmin=low, vmax=high, **grey)
        axes[1, column].imshow(arrays[f"sample_{key}_{task}"], vmin=low, vmax=high, **grey)
        spread = axes[2, column].imshow(std, cmap="magma", vmin=0, vmax=_LARGE / 2)
        error = axes[3, column].imshow(mean - truth, cmap="RdBu_r", vmin=-_LARGE, vmax=_LARGE)
        axes[0, column].set_title(title, fontsize=8)
    for row, name in enumerate(("mean", "heaviest sample", "standard deviation", "error of mean")):
        axes[row, 1].set_ylabel(name, fontsize=8)
    for rows, drawn in ((axes[:2], shown), (axes[2], spread), (axes[3], error)):
        bar = figure.colorbar(drawn, ax=list(np.ravel(rows)), fraction=0.02, pad=0.01)
        bar.ax.tick_params(labelsize=7)
    figure.suptitle(TASK_TITLES.get(task, task), fontsize=10)
    return figure


def score_figure(
    tasks: Sequence[str], methods: Mapping[str, str], metrics: Mapping[str, Any], name: str
) -> Figure:
    """Show one score of all methods as bars, grouped by task."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(1.7 * len(tasks), 5) + 1.6, 3.2), layout="constrained")
    axis = figure.subplots()
    width = 0.85 / len(methods)
    for i, (key, title) in enumerate(methods.items()):
        heights = [metrics[f"{name}_{key}_{task}"] for task in tasks]
        places = np.arange(len(tasks)) + (i - (len(methods) - 1) / 2) * width
        axis.bar(places, heights, width * 0.9, label=title, color=_colour(title))
    if name == "coverage_90":
        axis.axhline(0.9, color=_INK, linewidth=0.8, linestyle=":")
        axis.set_ylim(0, 1)
    axis.set_xticks(range(len(tasks)), [TASK_TITLES.get(task, task) for task in tasks], fontsize=8)
    axis.set_ylabel(_LABELS[name], fontsize=8)
    _finish(axis)
    figure.legend(loc="outside right upper", fontsize=7, frameon=False)
    return figure


def size_figure(
    tasks: Sequence[str], methods: Mapping[str, str], arrays: Mapping[str, Any]
) -> Figure:
    """Show the effective sample size over the run, a panel per task."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.1 * len(tasks) + 1.2, 2.5), layout="constrained")
    axes = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for axis, task in zip(axes, tasks, strict=True):
        for key, title in methods.items():
            trace = arrays.get(f"ess_{key}_{task}")
            if trace is not None:
                done = np.linspace(0, 1, len(trace))
                label = title if axis is axes[0] else None
                axis.plot(done, trace, color=_colour(title), linewidth=1.2, label=label)
        axis.set_title(TASK_TITLES.get(task, task), fontsize=8)
        axis.set_xlabel("share of the run", fontsize=8)
        axis.set_ylim(0, 1.03)
        _finish(axis)
    axes[0].set_ylabel("effective sample size / N", fontsize=8)
    figure.legend(loc="outside right upper", fontsize=7, frameon=False)
    return figure


def _draw_measurement(
    axis: Axes, task: str, picture: NDArray[Any], window: tuple[float, float], style: Any
) -> None:
    if task == "ct":
        axis.imshow(picture, aspect="auto", **style)
        axis.set_box_aspect(1)
        axis.set_title("sinogram", fontsize=8)
        return
    axis.imshow(picture, vmin=window[0], vmax=window[1], **style)
    axis.set_title("measurement", fontsize=8)


def _window(truth: NDArray[Any]) -> tuple[float, float]:
    low, high = np.percentile(truth, (1, 99.5))
    return float(low), float(high)


def _colour(title: str) -> Any:
    """Return the colour of a method, the same in all figures."""
    from matplotlib import colormaps

    names = list(_TITLES.values())
    index = names.index(title) if title in names else len(names)
    return _INK if index == 0 else colormaps["tab20"]((2 * index + index // 10) % 20)


def _finish(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=7, colors=_GREY)
