"""Figures of the study on the Gaussian mixture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from invdiff.study.scripted import Arrays

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["cloud_figure", "ratio_figure"]

_COLORS = ("#b5482a", "#2f6f9f", "#5b8c3e", "#8a5aa3")
_GREY = "#98a2b3"


def ratio_figure(arrays: Arrays, settings: Sequence[str], names: Sequence[str]) -> Figure:
    """Draw the ratio of every instance and their median, setting by setting.

    Args:
        arrays: With ``ratios_NAME_SETTING``.
        settings: Keys such as ``80_2``.
        names: Of the samplers.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.5 + 0.8 * len(settings), 3.4), layout="constrained")
    axis = figure.subplots()
    axis.axhline(1, color=_GREY, linestyle="--", linewidth=1)
    width = 0.7 / len(names)
    for j, name in enumerate(names):
        color, labelled = _COLORS[j % len(_COLORS)], False
        for i, setting in enumerate(settings):
            ratios = arrays.get(f"ratios_{name}_{setting}")
            if ratios is None:
                continue
            middle = i + (j - (len(names) - 1) / 2) * width
            places = middle + width * np.linspace(-0.35, 0.35, len(ratios))
            label = None if labelled else name.replace("_", "-")
            axis.plot(places, ratios, ".", color=color, markersize=4, alpha=0.6, label=label)
            axis.hlines(np.median(ratios), middle - 0.45 * width, middle + 0.45 * width, color)
            labelled = True
    axis.set_yscale("log")
    ticks = [setting.replace("_", " / ") for setting in settings]
    axis.set_xticks(range(len(settings)), ticks)
    axis.set(xlabel="dx / dy", ylabel="distance over that of exact samples")
    axis.legend(fontsize=8)
    return figure


def cloud_figure(arrays: Arrays, settings: Sequence[str], names: Sequence[str]) -> Figure:
    """Draw the first two coordinates of samples over exact ones.

    Args:
        arrays: With ``cloud_exact_SETTING`` and ``cloud_NAME_SETTING``.
        settings: One a column.
        names: Of the samplers, one a row.
    """
    from matplotlib.figure import Figure

    size = (2.9 * len(settings), 2.9 * len(names))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(names), len(settings), squeeze=False, sharex=True, sharey=True)
    for row, name in zip(axes, names, strict=True):
        for axis, setting in zip(row, settings, strict=True):
            exact, cloud = arrays[f"cloud_exact_{setting}"], arrays.get(f"cloud_{name}_{setting}")
            axis.plot(*exact.T, ".", color=_GREY, markersize=4)
            if cloud is not None:
                axis.plot(*cloud.T, ".", color=_COLORS[0], markersize=1.5)
            axis.set_title(f"{name.replace('_', '-')}, {setting.replace('_', ' / ')}", fontsize=9)
            axis.set_aspect("equal")
    return figure
