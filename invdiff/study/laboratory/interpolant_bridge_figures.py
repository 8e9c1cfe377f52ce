"""The figures of the study of restoration by a bridge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from invdiff.study.loss_line import draw_loss
from invdiff.study.scripted import Arrays, Metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["calls", "loss", "pictures", "reliability"]

_ACCENT, _BLUE, _GREY = "#b5482a", "#2f6f9f", "#98a2b3"
_PANEL = 1.75
# air, fat and muscle to spongy bone, of 2.5 times water
_WINDOW = (0.0, 0.7)
_PERCENTILE = 99.5


def pictures(arrays: Arrays, titles: dict[str, str], best: str) -> Figure:
    """Show the truth and each method, with error and uncertainty of the best, a slice a row."""
    from matplotlib.figure import Figure

    truth = arrays["truth"]
    panels = {title: arrays[f"shown/{name}"] for name, title in titles.items()}
    error, deviation = abs(arrays["shown/mean"] - truth), arrays["shown/std"]
    top = float(np.percentile(error, _PERCENTILE))
    columns = len(panels) + 3
    size = (_PANEL * columns + 0.6, (_PANEL + 0.2) * len(truth) + 0.2)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(truth), columns, squeeze=False)
    _column(axes[:, 0], "truth", truth)
    for column, (name, title) in enumerate(titles.items(), 1):
        _column(axes[:, column], title, panels[title], _decibels(arrays[f"shown/{name}"], truth))
    _column(axes[:, -2], f"error of the mean\n{best}", error, window=(0, top), cmap="magma")
    drawn = _column(axes[:, -1], "standard\ndeviation", deviation, window=(0, top), cmap="magma")
    bar = figure.colorbar(drawn, ax=axes[:, -2:], shrink=0.8, extend="max", pad=0.02)
    bar.ax.tick_params(labelsize=7)
    return figure


def calls(metrics: Metrics, counts: Sequence[int], prior_counts: Sequence[int]) -> Figure:
    """Show PSNR against the network calls of a sample, beside total variation and RED-diff.

    Args:
        metrics: Of the study.
        counts: Network calls of the bridge.
        prior_counts: Of RED-diff; those beyond the axis become a line.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axis = figure.subplots()
    lines = {
        "bridge, one sample": ("psnr_bridge_{}", _GREY, "o--"),
        "bridge, one sample, data steps": ("psnr_bridge_{}_data", _ACCENT, "o-"),
        "bridge, mean of samples, data steps": ("psnr_mean_bridge_{}_data", _BLUE, "s-"),
    }
    for label, (key, color, style) in lines.items():
        axis.plot(counts, [metrics[key.format(n)] for n in counts], style, color=color, label=label)
    if "psnr_regression" in metrics:
        axis.plot(1, metrics["psnr_regression"], "D", color="black", label="regression")
    axis.axhline(metrics["psnr_tv"], color="black", linewidth=0.9, label="total variation")
    for number in prior_counts:
        level, label = metrics[f"psnr_red_diff_{number}"], f"RED-diff, prior, {number} calls"
        if number <= max(counts):
            axis.plot(number, level, "x", color="black", label=label)
        else:
            axis.axhline(level, color="black", linestyle=":", linewidth=0.9, label=label)
    axis.set_xticks(counts)
    axis.set(xlabel="network calls of a sample", ylabel="PSNR (dB), held-out slices")
    _finish(axis)
    return figure


def reliability(arrays: Arrays) -> Figure:
    """Show the error that is found where a deviation is claimed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, 3.8), layout="constrained")
    axis = figure.subplots()
    claimed, found = arrays["reliability/claimed"], arrays["reliability/found"]
    top = 1.05 * max(claimed.max(), found.max())
    axis.plot([0, top], [0, top], "--", color="black", linewidth=0.8, label="calibrated")
    axis.plot(claimed, found, "o-", color=_ACCENT, label="bridge")
    axis.set(xlim=(0, top), ylim=(0, top))
    axis.set(xlabel="standard deviation of the samples", ylabel="root mean square error")
    _finish(axis)
    return figure


def loss(arrays: Arrays) -> Figure:
    """Show the loss of every step and its running mean."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.0), layout="constrained")
    axis = figure.subplots()
    highest = draw_loss(axis, arrays["loss"], "mean")
    axis.set(xlabel="step", ylabel="loss", ylim=(0, min(1.3, 1.1 * highest)))
    _finish(axis)
    return figure


def _column(
    axes: NDArray[Any],
    title: str,
    images: NDArray[Any],
    scores: NDArray[Any] | None = None,
    window: tuple[float, float] = _WINDOW,
    cmap: str = "gray",
) -> Any:
    low, high = window
    for row, axis in enumerate(axes):
        drawn = axis.imshow(images[row], cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        if scores is not None:
            axis.set_xlabel(f"{scores[row]:.1f} dB", fontsize=7, labelpad=2)
    axes[0].set_title(title, fontsize=8)
    return drawn


def _decibels(images: NDArray[Any], truth: NDArray[Any]) -> NDArray[Any]:
    error = np.clip(images, 0, 1) - truth
    return -10 * np.log10((error**2).mean((-2, -1)))


def _finish(axis: Axes) -> None:
    axis.legend(fontsize=8, frameon=False)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
