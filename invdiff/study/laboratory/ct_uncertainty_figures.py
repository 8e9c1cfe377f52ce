"""The figures of the study of CT uncertainty, from its stored numbers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from invdiff.study.scripted import Arrays, Metrics
from invdiff.study.units import ct_units

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["coverage", "reconstruction", "uncertainty", "z_scores"]

_ACCENT, _GREY, _OUTLINE = "#b5482a", "#667085", "#e8b04b"
_PANEL = 2.9
# errors above it are drawn alike
_PERCENTILE = 99.5
_Z_LIMIT = 5.0


def reconstruction(arrays: Arrays) -> Figure:
    """Show truth, filtered back-projection and mean in one grey window."""
    figure, axes = _panels(arrays, 3)
    low, high = ct_units().window
    titles = ("Truth", "Filtered back-projection", "Mean of the samples")
    for axis, name, title in zip(axes, ("truth", "fbp", "mean"), titles, strict=True):
        drawn = _draw(axis, arrays, arrays[name], cmap="gray", vmin=low, vmax=high)
        axis.set_title(title, fontsize=9)
    axes[2].contour(arrays["body"], levels=[0.5], colors=_OUTLINE, linewidths=0.6)
    _colorbar(figure, drawn, axes, "HU", "both")
    return figure


def uncertainty(arrays: Arrays) -> Figure:
    """Show error, deviation before and after calibration on one scale, and the interval."""
    error = abs(arrays["mean"] - arrays["truth"])
    high = _round(np.percentile(error[arrays["body"]], _PERCENTILE))
    figure, axes = _panels(arrays, 4)
    panels = {
        "Absolute error": error,
        "Standard deviation": arrays["std"],
        "Calibrated deviation": arrays["std_calibrated"],
    }
    for axis, (title, panel) in zip(axes[:3], panels.items(), strict=True):
        drawn = _draw(axis, arrays, panel, cmap="magma", vmin=0, vmax=high)
        axis.set_title(title, fontsize=9)
    _colorbar(figure, drawn, axes[:3], "HU", "max")
    width = arrays["width"]
    top = _round(np.percentile(width[arrays["body"]], _PERCENTILE))
    drawn = _draw(axes[3], arrays, width, cmap="viridis", vmin=0, vmax=top)
    axes[3].set_title("Width of the interval", fontsize=9)
    _colorbar(figure, drawn, axes[3:], "HU", "max")
    return figure


def z_scores(metrics: Metrics, arrays: Arrays) -> Figure:
    """Show the error over the deviation as a map and as a histogram."""
    figure, axes = _panels(arrays, 2)
    z, body = arrays["z"], arrays["body"]
    drawn = _draw(axes[0], arrays, z, cmap="RdBu_r", vmin=-_Z_LIMIT, vmax=_Z_LIMIT)
    axes[0].set_title("Error over deviation", fontsize=9)
    _colorbar(figure, drawn, axes[:1], "", "both")
    _frame(axes[1])
    edges = np.linspace(-_Z_LIMIT, _Z_LIMIT, 51)
    inside = np.clip(z[body & np.isfinite(z)], -_Z_LIMIT, _Z_LIMIT)
    axes[1].hist(inside, edges, density=True, color=_ACCENT, alpha=0.6)
    normal = np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi)
    axes[1].plot(edges, normal, color="black", linewidth=1)
    axes[1].set_yticks([])
    spread = f"mean {metrics['z_mean']:+.2f}, deviation {metrics['z_std']:.2f}"
    axes[1].set_title(f"Within the body: {spread}", fontsize=9)
    axes[1].set_xlabel("error over deviation; the ends hold all beyond them", fontsize=8)
    return figure


def coverage(metrics: Metrics) -> Figure:
    """Show what intervals hold against what they claim."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4.6), layout="constrained")
    axis = figure.subplots()
    _frame(axis)
    levels = metrics["coverage_curve_levels"]
    axis.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle="--", label="as claimed")
    for name, color in (("raw", _GREY), ("calibrated", _ACCENT)):
        curve, low, high = (
            metrics[f"coverage_curve_{name}{part}"] for part in ("", "_lowest", "_highest")
        )
        label = "samples as they are" if name == "raw" else "calibrated"
        axis.plot(levels, curve, color=color, marker=".", label=label)
        axis.fill_between(levels, low, high, color=color, alpha=0.2, linewidth=0)
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.set_xlabel("claimed", fontsize=8)
    axis.set_ylabel("held, of the pixels of the body", fontsize=8)
    axis.legend(fontsize=8, frameon=False, loc="upper left")
    return figure


def _panels(arrays: Arrays, columns: int) -> tuple[Figure, NDArray[Any]]:
    from matplotlib.figure import Figure

    rows, cols = arrays["truth"].shape
    height = _PANEL * rows / cols * _aspect(arrays)
    figure = Figure(figsize=((_PANEL + 0.3) * columns, height + 0.5), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for axis in axes:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    return figure, axes


def _draw(axis: Axes, arrays: Arrays, image: NDArray[Any], **style: Any) -> Any:
    return axis.imshow(image, aspect=_aspect(arrays), interpolation="nearest", **style)


def _aspect(arrays: Arrays) -> float:
    """Height over width of a pixel."""
    rows_mm, columns_mm = arrays["pixel_mm"]
    return float(rows_mm / columns_mm)


def _colorbar(figure: Figure, drawn: Any, axes: NDArray[Any], unit: str, extend: str) -> None:
    bar = figure.colorbar(drawn, ax=list(axes), shrink=0.85, pad=0.01, extend=extend)
    bar.set_label(unit, fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _frame(axis: Axes) -> None:
    """Bring back the axes of a plot."""
    from matplotlib.ticker import AutoLocator

    axis.xaxis.set_major_locator(AutoLocator())
    axis.yaxis.set_major_locator(AutoLocator())
    axis.spines[["left", "bottom"]].set_visible(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)


def _round(value: Any) -> float:
    """One digit: round numbers on the colour bar."""
    return float(f"{float(value) or 1.0:.1g}")
