"""The figures of the study of prior ensembles, from its stored numbers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from invdiff.study.laboratory.prior_experts_exact import DISTANCES, LEVELS
from invdiff.study.laboratory.prior_experts_runs import WAYS
from invdiff.study.scripted import Arrays, Metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["denoising", "pictures", "routing", "truncation"]

_COLOURS = ("#b5482a", "#2f6f9f", "#5a8f3c", "#8a5a9f")
_STYLES = {"right": "-", "wrong": ":", "routed": "--", "top": "-."}
_GREY, _PANEL = "#98a2b3", 2.3
# where nothing was measured: no grey that could be a value
_MISSING = "#b9cbe0"


def routing(arrays: Arrays, names: Sequence[str]) -> Figure:
    """Show the probability of the right expert of every held-out slice against the noise level."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.4), layout="constrained")
    axis = figure.subplots()
    for color, name in zip(_COLOURS, names, strict=False):
        values = arrays[f"{name}/probability"]
        axis.plot(arrays["sigmas"], values, color=color, linewidth=0.6, alpha=0.5)
        axis.plot(arrays["sigmas"], values.mean(1), "o-", color=color, label=name)
    axis.axhline(1 / len(names), color=_GREY, linestyle="--", label="all alike")
    axis.set_ylim(0, 1.03)
    axis.set_ylabel("probability of the right expert", fontsize=8)
    _finish(axis)
    return figure


def denoising(arrays: Arrays, names: Sequence[str]) -> Figure:
    """Show what each way of use loses against the right expert."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 * len(names) + 1, 3.3), layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
    for axis, color, name in zip(axes, _COLOURS, names, strict=False):
        right = arrays[f"{name}/psnr_right"]
        for way in ("wrong", "routed", "top"):
            loss = (right - arrays[f"{name}/psnr_{way}"]).mean(1)
            axis.plot(
                arrays["sigmas"], loss, color=color, linestyle=_STYLES[way], marker=".",
                label=WAYS[way],
            )  # fmt: skip
        axis.axhline(0, color=_GREY, linewidth=0.8)
        axis.set_title(f"held-out {name}", fontsize=9)
        _finish(axis)
    axes[0].set_ylabel("PSNR of the right expert minus that (dB)", fontsize=8)
    return figure


def truncation(metrics: Metrics) -> Figure:
    """Show the error of top-1 and top-2 and its bound for each overlap of the parts."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.2, 3.3), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, top in zip(axes, (1, 2), strict=True):
        for color, distance, errors, bounds in zip(
            _COLOURS, DISTANCES, metrics[f"top_{top}"], metrics[f"bound_{top}"], strict=False
        ):
            label = f"means {distance:g} apart"
            # what is left out may be below the smallest number of a logarithmic axis
            axis.plot(LEVELS, [max(e, 1e-12) for e in errors], "o-", color=color, label=label)
            axis.plot(LEVELS, [max(b, 1e-12) for b in bounds], ":", color=color)
        axis.set_yscale("log")
        axis.set_title(f"{top} of 4 experts", fontsize=9)
        axis.set_ylim(1e-8, 10)
        _finish(axis, LEVELS, "noise level, deviation of a part = 1")
    axes[0].set_ylabel("error over the data's deviation", fontsize=8)
    return figure


def pictures(arrays: Arrays, tasks: Mapping[str, str]) -> Figure:
    """Show truth, measurement and the reconstruction of each way, a row for each expert."""
    from matplotlib.figure import Figure

    columns = ("truth", "measurement", "right", "wrong", "routed", "top")
    size = (_PANEL * len(columns), (_PANEL + 0.3) * len(tasks))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(tasks), len(columns), squeeze=False)
    for row, (name, task) in zip(axes, tasks.items(), strict=True):
        for axis, column in zip(row, columns, strict=True):
            _draw(axis, arrays, name, column, task)
    return figure


def _draw(axis: Axes, arrays: Arrays, name: str, column: str, task: str) -> None:
    from matplotlib import colormaps

    picture = arrays[f"{name}/{column}"]
    grey = colormaps["gray"].with_extremes(bad=_MISSING)
    sinogram = column == "measurement" and task == "ct"
    window = {} if sinogram else {"vmin": 0, "vmax": arrays[f"{name}/truth"].max()}
    axis.imshow(picture, cmap=grey, aspect="auto" if sinogram else "equal", **window)
    axis.set_box_aspect(1)
    axis.set(xticks=[], yticks=[])
    title = {"truth": f"{name}: truth", "measurement": f"measurement ({task})"}.get(column)
    if title is None:
        quality = arrays[f"{name}/psnr"][list(WAYS).index(column)]
        title = f"{WAYS[column]}\n{quality:.1f} dB"
    axis.set_title(title, fontsize=8)


def _finish(
    axis: Axes, ticks: Sequence[float] = (), label: str = "noise level, images in [-1, 1]"
) -> None:
    axis.set_xscale("log")
    if len(ticks):
        axis.set_xticks(ticks, [f"{s:g}" for s in ticks])
        axis.minorticks_off()
    axis.set_xlabel(label, fontsize=8)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=8, frameon=False)
