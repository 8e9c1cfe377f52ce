"""The figures of a study of volumes, from its stored planes, lines and numbers alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from invdiff.study.scripted import Arrays, Metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["errors", "jitter", "planes", "profile"]

_PLANES = ("axial", "coronal", "sagittal")
_ACCENT, _GREY, _LINE = "#b5482a", "#667085", "#e8b04b"
# width of a picture and of the space for words, in inches
_PANEL, _WORDS = 1.9, 0.45
# height over width below which a plane is enlarged about the line
_THINNEST = 0.35
# the axis of the volume that runs across a plane
_ACROSS = {"axial": 2, "coronal": 2, "sagittal": 1}


def planes(arrays: Arrays, metrics: Metrics, task: str, names: Sequence[str]) -> Figure:
    """Show the truth and all methods in three planes and one grey window."""
    low, high = arrays["window"]
    figure, axes = _grid(arrays, task, ["truth", *names])
    for column, name in enumerate(["truth", *names]):
        for axis, plane in zip(axes[:, column], _PLANES, strict=True):
            drawn = _draw(axis, arrays, plane, arrays[f"{plane}/{task}/{name}"], "gray", low, high)
            _mark_line(axis, arrays, plane)
        axes[0, column].set_title(_label(metrics, task, name), fontsize=7)
    _colorbar(figure, drawn, axes, str(arrays["unit"]))
    return figure


def errors(arrays: Arrays, metrics: Metrics, task: str, names: Sequence[str]) -> Figure:
    """Show every method minus the truth in three planes, on one symmetric scale."""
    factor, unit = _error_unit(arrays)
    maps = {
        (plane, name): factor * (arrays[f"{plane}/{task}/{name}"] - arrays[f"{plane}/{task}/truth"])
        for plane in _PLANES
        for name in names
    }
    # the best method's errors fill the scale, those of others may leave it
    limit = min(np.percentile(np.abs(maps["coronal", name]), 99.5) for name in names) or 1.0
    limit = float(f"{limit:.1g}")
    figure, axes = _grid(arrays, task, names)
    for column, name in enumerate(names):
        for axis, plane in zip(axes[:, column], _PLANES, strict=True):
            drawn = _draw(axis, arrays, plane, maps[plane, name], "RdBu_r", -limit, limit)
        axes[0, column].set_title(_label(metrics, task, name), fontsize=7)
    _colorbar(figure, drawn, axes, f"result minus truth ({unit})")
    return figure


def profile(arrays: Arrays, task: str, names: Sequence[str]) -> Figure:
    """Show the values along the line through a structure, from the feet to the head."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 3.6), layout="constrained")
    axis = figure.subplots()
    z = arrays["z_mm"]
    axis.plot(z, arrays[f"line/{task}/truth"], color="black", linewidth=2.2, label="truth")
    for index, name in enumerate(names):
        color = f"C{index % 10}"
        axis.plot(z, arrays[f"line/{task}/{name}"], color=color, linewidth=1.1, label=name)
    axis.set_xlabel("z in mm, towards the head", fontsize=8)
    axis.set_ylabel(str(arrays["unit"]), fontsize=8)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", fontsize=7, frameon=False)
    return figure


def jitter(metrics: Metrics, tasks: Sequence[str], names: Sequence[str]) -> Figure:
    """Show the variation from slice to slice over that of the truth, a panel a task."""
    from matplotlib.figure import Figure

    size = (1.6 + 2.9 * len(tasks), 0.8 + 0.28 * len(names))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(tasks), squeeze=False, sharey=True)[0]
    for axis, task in zip(axes, tasks, strict=True):
        values = [metrics[f"jitter_{name}_{task}"] for name in names]
        # whatever flickers more than that is told by its number
        axis.set_xlim(0, min(1.15 * max(1.3, *values), 3.5))
        axis.barh(names, values, color=_ACCENT)
        axis.axvline(1, color="black", linestyle="--", linewidth=1)
        for row, value in enumerate(values):
            axis.text(0.03, row, f"{value:.2f}", va="center", color="white", fontsize=7)
        axis.set_title(task, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    figure.supxlabel("jitter: variation along z over the truth's own (dashed)", fontsize=8)
    return figure


def _grid(arrays: Arrays, task: str, names: Sequence[str]) -> tuple[Figure, Any]:
    """Return rows of planes as high as they are in the patient, against their width."""
    from matplotlib.figure import Figure

    ratios = [_height_over_width(arrays, p, arrays[f"{p}/{task}/truth"].shape) for p in _PLANES]
    # a tall stack has to fit the page, and a thin one is enlarged
    heights = [_PANEL * min(max(ratio, _THINNEST), 2.0) for ratio in ratios]
    size = (_PANEL * len(names) + 1.1, sum(heights) + _WORDS + 0.1 * len(heights))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(3, len(names), squeeze=False, height_ratios=heights)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for axis, plane in zip(axes[:, 0], _PLANES, strict=True):
        axis.set_ylabel(plane, fontsize=8, rotation=0, ha="right", va="center")
    return figure, axes


def _height_over_width(arrays: Arrays, plane: str, shape: tuple[int, ...]) -> float:
    down, across = _pixel(arrays, plane)
    return float(shape[0] * down / (shape[1] * across))


def _pixel(arrays: Arrays, plane: str) -> tuple[float, float]:
    """Return the size of a plane's pixel (down, across) in mm."""
    through, row, column = (float(mm) for mm in arrays["spacing"])
    return {"axial": (row, column), "coronal": (through, column), "sagittal": (through, row)}[plane]


def _draw(
    axis: Axes, arrays: Arrays, plane: str, picture: Any, cmap: str, low: float, high: float
) -> Any:
    down, across = _pixel(arrays, plane)
    drawn = axis.imshow(
        picture,
        cmap=cmap,
        vmin=low,
        vmax=high,
        aspect=down / across,
        interpolation="nearest",
    )
    ratio = _height_over_width(arrays, plane, picture.shape)
    if ratio < _THINNEST:
        _enlarge(axis, picture.shape[1], int(arrays["place"][_ACROSS[plane]]), ratio / _THINNEST)
    return drawn


def _enlarge(axis: Axes, width: int, centre: int, share: float) -> None:
    """Show a share of the width, about the line as far as the picture goes."""
    shown = share * width
    first = min(max(centre - shown / 2, -0.5), width - 0.5 - shown)
    axis.set_xlim(first, first + shown)


def _mark_line(axis: Axes, arrays: Arrays, plane: str) -> None:
    """Mark the line whose profile is shown; in the axial plane it is a point."""
    _, row, column = arrays["place"]
    if plane == "axial":
        axis.plot(column, row, marker="+", color=_LINE, markersize=5, markeredgewidth=0.8)
        return
    axis.axvline(arrays["place"][_ACROSS[plane]], color=_LINE, linewidth=0.5, alpha=0.8)


def _label(metrics: Metrics, task: str, name: str) -> str:
    if name == "truth":
        return "truth\n"
    numbers = [metrics[f"psnr_{plane}_{name}_{task}"] for plane in _PLANES]
    return f"{name}\n{' / '.join(f'{n:.1f}' for n in numbers)} dB"


def _error_unit(arrays: Arrays) -> tuple[float, str]:
    unit = str(arrays["unit"])
    return (1.0, unit) if unit == "HU" else (100 / float(arrays["data_range"]), "% of the range")


def _colorbar(figure: Figure, drawn: Any, axes: Any, label: str) -> None:
    bar = figure.colorbar(drawn, ax=axes, extend="both", fraction=0.02, pad=0.01, aspect=40)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)
