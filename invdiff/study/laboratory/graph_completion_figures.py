"""Figures of the completion of graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from invdiff.study.laboratory.graph_completion_cases import Task
from invdiff.study.laboratory.graph_completion_config import MethodConfig
from invdiff.study.laboratory.graph_completion_exact import EXACT_PRIORS
from invdiff.study.scripted import Arrays, Metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "EXACT_TITLES",
    "NEIGHBOUR_TITLES",
    "exact_posteriors",
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
_BLUE, _GREY = "#2f6f9f", "#98a2b3"
# standard errors at the end of the axis
_FURTHEST = 1000


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
            left.plot(
                z.clip(-_FURTHEST, _FURTHEST),
                np.full(z.shape, place),
                ".",
                color=color,
                alpha=0.6,
                ms=5,
            )
        ratios = [metrics[f"std_ratio_{name}_{method.key}"] for method in methods]
        right.plot(ratios, places, "o", color=color, label=label, ms=5)
    left.axvspan(-3, 3, color=_GREY, alpha=0.25, lw=0)
    left.set_xscale("symlog", linthresh=5)
    ticks = [-1000, -100, -10, 0, 10, 100, 1000]
    left.set_xticks(ticks, [f"{tick}" for tick in ticks])
    left.minorticks_off()
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
    """Show the mean area under the ROC curve, and its standard deviation over graphs."""
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

    figure = Figure(figsize=(0.8 + 2.9 * len(tasks), 4.3), layout="constrained")
    axes = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for axis, task in zip(axes, tasks, strict=True):
        axis.plot([0, 1], [0, 1], "--", color=_GREY, lw=1)
        for color, (key, title) in zip(cycle(_COLORS), titles.items(), strict=False):
            name = f"{task.key}_{key}"
            counts = arrays[f"count_{name}"]
            seen = counts > 0
            mean, share = (arrays[f"{what}_{name}"][seen] for what in ("mean", "share"))
            axis.plot(mean, share, "-", color=color, lw=1, alpha=0.7)
            axis.scatter(
                mean, share, 4 + 60 * counts[seen] / counts.sum(), color=color, label=title
            )
        axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="probability")
        axis.set_title(task.title, fontsize=9)
    axes[0].set_ylabel("share that are edges")
    handles, labels = axes[0].get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8,
                           frameon=False)  # fmt: skip
    for handle in legend.legend_handles:
        handle.set_sizes([20])  # type: ignore[union-attr]
    _finish(*axes)
    return figure


def _finish(*axes: Axes) -> None:
    for axis in axes:
        axis.tick_params(labelsize=8)
        axis.xaxis.label.set_fontsize(9)
        axis.yaxis.label.set_fontsize(9)
        axis.spines[["top", "right"]].set_visible(False)
