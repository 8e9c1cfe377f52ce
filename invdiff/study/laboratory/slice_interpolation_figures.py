"""The figures of a study of missing slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from invdiff.study.laboratory.slice_interpolation_chain import WAYS
from invdiff.study.laboratory.slice_interpolation_methods import METHODS
from invdiff.study.scripted import Arrays, Metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["chain", "errors", "slices"]

_COLORS = ("#98a2b3", "#2f6f9f", "#5a7d2b", "#b5482a")
_CHAIN_COLORS = ("#222222", "#5a7d2b", "#b5482a", "#2f6f9f")
_PANEL = 1.9


def slices(arrays: Arrays, every: int) -> Figure:
    """Show the missing slice in the middle of the middle gap, and the errors below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_PANEL * (len(METHODS) + 1), 2 * _PANEL + 0.2), layout="constrained")
    axes = figure.subplots(2, len(METHODS) + 1)
    place = _middle(arrays[f"missing_{every}"])
    truth, (low, high) = arrays["truth"][place], arrays["window"]
    axes[0, 0].set_title("truth", fontsize=9)
    axes[0, 0].imshow(truth, cmap="gray", vmin=low, vmax=high)
    span = 0.2 * (high - low)
    for column, name in enumerate(METHODS, start=1):
        image = arrays[f"{name}_{every}"][place]
        axes[0, column].set_title(name, fontsize=9)
        axes[0, column].imshow(image, cmap="gray", vmin=low, vmax=high)
        axes[1, column].imshow(image - truth, cmap="RdBu_r", vmin=-span, vmax=span)
    for axis in axes.flat:
        axis.set_axis_off()
    return figure


def errors(metrics: Metrics, spacings: tuple[int, ...]) -> Figure:
    """Show the PSNR of each method at each spacing."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    axis = figure.subplots()
    width = 0.8 / len(METHODS)
    for k, name in enumerate(METHODS):
        values = [metrics[f"psnr_{name}_{every}"] for every in spacings]
        places = np.arange(len(spacings)) + (k - (len(METHODS) - 1) / 2) * width
        bars = axis.bar(places, values, width, label=name, color=_COLORS[k])
        axis.bar_label(bars, fmt="%.2f", fontsize=7)
    lowest = min(metrics[f"psnr_{name}_{every}"] for name in METHODS for every in spacings)
    axis.set_ylim(bottom=max(0.0, lowest - 3))
    axis.set_xticks(range(len(spacings)), [f"1 of {every} known" for every in spacings])
    axis.set_ylabel("PSNR of missing slices (dB)")
    axis.legend(fontsize=8)
    return figure


def chain(arrays: Arrays) -> Figure:
    """Show mean and spread of the gap of the chain, exact and drawn."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.4), layout="constrained")
    axis = figure.subplots()
    gap = len(arrays["chain_mean_exact"])
    z = np.arange(1, gap + 1)
    for k, way in enumerate(WAYS):
        mean, std = arrays[f"chain_mean_{way}"], arrays[f"chain_std_{way}"]
        shift = 0.12 * (k - (len(WAYS) - 1) / 2)
        axis.errorbar(
            z + shift, mean, std, fmt="o", markersize=4, capsize=3, color=_CHAIN_COLORS[k],
            label=way,
        )  # fmt: skip
    axis.plot([0, gap + 1], arrays["chain_ends"], "ks", label="known")
    axis.set_xlabel("slice")
    axis.set_ylabel("value of a pixel")
    axis.legend(fontsize=8)
    return figure


def _middle(missing: np.ndarray) -> int:
    """Return the missing slice furthest from known ones, the nearest such to the middle."""
    places, known = np.flatnonzero(missing), np.flatnonzero(~missing)
    distance = np.abs(places[:, None] - known).min(1)
    deepest = places[distance == distance.max()]
    return int(deepest[np.abs(deepest - len(missing) / 2).argmin()])
