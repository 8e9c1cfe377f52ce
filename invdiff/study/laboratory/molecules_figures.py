"""Pictures of the study of molecules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from invdiff.study.loss_line import draw_loss
from invdiff.study.scripted import Arrays, Metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["loss", "molecules", "validity"]

_COLORS = {"published": "#2f6f9f", "exponential": "#b5482a"}
_GREY, _WRONG = "#98a2b3", "#d03030"
_COLUMNS = 6


def loss(arrays: Arrays, heldout: float) -> Figure:
    """Show the loss of every step, its running mean, and that of what was kept from it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axis = figure.subplots()
    highest = draw_loss(axis, arrays["loss"], "training")
    axis.axhline(heldout, color=_COLORS["published"], linestyle="--", label="held out, at the end")
    axis.set(
        xlabel="step",
        ylabel="score matching loss of a molecule",
        ylim=(0, 1.1 * max(heldout, highest)),
    )
    _finish(axis)
    return figure


def molecules(arrays: Arrays, titles: Mapping[str, str]) -> Figure:
    """Show molecules in blocks, one for each title; what isn't valid has a red frame.

    Args:
        arrays: With ``pictures_{name}`` and ``valid_{name}``.
        titles: By name.
    """
    from matplotlib.figure import Figure

    rows = {name: -(-len(arrays[f"valid_{name}"]) // _COLUMNS) for name in titles}
    height = sum(1.15 * count + 0.3 for count in rows.values())
    figure = Figure(figsize=(1.5 * _COLUMNS, height), layout="constrained")
    blocks = figure.subfigures(len(titles), 1, height_ratios=list(rows.values()), squeeze=False)
    for (name, title), block in zip(titles.items(), blocks[:, 0], strict=True):
        block.suptitle(title, fontsize=10)
        axes = block.subplots(rows[name], _COLUMNS, squeeze=False).ravel()
        for axis in axes:
            axis.set_axis_off()
        pairs = zip(arrays[f"pictures_{name}"], arrays[f"valid_{name}"], strict=True)
        for axis, (picture, valid) in zip(axes, pairs, strict=False):
            _draw(axis, picture, bool(valid))
    return figure


def validity(
    metrics: Metrics, calls: Mapping[str, Sequence[int]], titles: Mapping[str, str]
) -> Figure:
    """Show the share of valid molecules over the calls of the networks.

    Args:
        metrics: With ``validity_{name}_{calls}`` and the strict ones.
        calls: By the name of the way to draw.
        titles: By name.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axis = figure.subplots()
    for name, counts in calls.items():
        for kind, style in (("validity", "o-"), ("validity_strict", "s:")):
            keys = [f"{kind}_{name}_{count}" for count in counts]
            values = [100 * metrics[key] for key in keys]
            errors = [100 * metrics.get(f"{key}_std", 0.0) for key in keys]
            label = titles[name] + (", strict" if kind == "validity_strict" else "")
            axis.errorbar(
                counts, values, errors, fmt=style, color=_COLORS[name], capsize=3, label=label
            )
    axis.axhline(100 * metrics["validity_heldout"], color=_GREY, linestyle="--", label="held out")
    axis.set_xscale("log")
    every = sorted({count for counts in calls.values() for count in counts})
    axis.set_xticks(every, [str(count) for count in every])
    axis.minorticks_off()
    axis.set(xlabel="calls of the networks", ylabel="valid without correction (%)", ylim=(0, 105))
    _finish(axis, legend=False)
    # inside, it would hide a line
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def _draw(axis: Axes, picture: Any, valid: bool) -> None:
    axis.set_axis_on()
    axis.imshow(picture, interpolation="bilinear")
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_color("#e4e7ec" if valid else _WRONG)
    axis.spines[:].set_linewidth(0.8 if valid else 1.6)


def _finish(axis: Axes, *, legend: bool = True) -> None:
    if legend:
        axis.legend(fontsize=8, frameon=False)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
