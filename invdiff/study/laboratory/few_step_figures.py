"""The figures of the study of few-step flows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from invdiff.study.loss_line import draw_loss
from invdiff.study.scripted import Arrays, Metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["distances", "losses", "pictures", "under"]

_COLORS = {"teacher": "#98a2b3", "plain": "#2f6f9f", "student": "#b5482a", "one_step": "black"}
_PANEL = 1.05
# air, fat and muscle to spongy bone, of 2.5 times water
_WINDOW = (0.0, 0.7)


def under(arrays: Arrays, group: str) -> Arrays:
    """Return the arrays of a group by their names within it."""
    front = f"{group}/"
    return {k.removeprefix(front): v for k, v in arrays.items() if k.startswith(front)}


def pictures(arrays: Arrays, rows: dict[str, str]) -> Figure:
    """Show slices in rows: real ones, and those of each flow from the same noise.

    Args:
        arrays: By name, ``(count, size, size)``.
        rows: Label of each name.
    """
    from matplotlib.figure import Figure

    columns = len(arrays[next(iter(rows))])
    size = (_PANEL * columns + 1.9, (_PANEL + 0.05) * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, label) in zip(axes, rows.items(), strict=True):
        for axis, image in zip(line, arrays[name], strict=True):
            low, high = _WINDOW
            axis.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(label, fontsize=8, rotation=0, ha="right", va="center")
    return figure


def distances(metrics: Metrics, calls: Sequence[int], labels: dict[str, str]) -> Figure:
    """Show the energy distance to training slices against the calls, and its floor."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axis = figure.subplots()
    for name, label in labels.items():
        counts = [n for n in calls if f"energy_{name}_{n}" in metrics]
        values = [metrics[f"energy_{name}_{n}"] for n in counts]
        style = "D" if len(counts) == 1 else "o-"
        errors = [metrics[f"energy_error_{name}_{n}"] for n in counts]
        axis.errorbar(
            counts, values, errors, fmt=style, color=_COLORS[name], label=label, capsize=3
        )
    axis.set_yscale("symlog", linthresh=0.1)
    axis.axhline(
        metrics["energy_floor"], color="black", linestyle=":", linewidth=0.9,
        label="other training slices",
    )  # fmt: skip
    axis.set_xscale("log", base=2)
    axis.set_xticks(calls, [str(n) for n in calls])
    axis.minorticks_off()
    axis.set(xlabel="network calls of a sample", ylabel="energy distance, training slices")
    _finish(axis)
    return figure


def losses(arrays: Arrays, labels: dict[str, str]) -> Figure:
    """Show the loss of every step of each training, one panel each."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.6 * len(labels) + 0.4, 2.6), layout="constrained")
    for axis, (name, label) in zip(
        figure.subplots(1, len(labels), squeeze=False)[0], labels.items(), strict=True
    ):
        draw_loss(axis, arrays[f"loss/{name}"], "mean")
        axis.set_title(label, fontsize=8)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _finish(axis: Axes) -> None:
    axis.legend(fontsize=8, frameon=False)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
