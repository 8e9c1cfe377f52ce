"""A metric over the points of the first axis, with its spread over the repeats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from invdiff.study.sweep.config import Sweep
from invdiff.study.sweep.table import Row, Spread, grouped, spread_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_metric"]

_COLORS = ("#b5482a", "#2f6f9f", "#5b8c3e", "#8a5aa3", "#c08a1e", "#3d8f8a", "#667085")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# of the distance between two points of the axis
_WIDTH = 0.5
_SIZE = (6.4, 3.6)

# the values of a line by the place of their point on the axis
Line = dict[int, list[float]]


def draw_metric(sweep: Sweep, rows: Sequence[Row], metric: str) -> Figure | None:
    """Draw mean and standard deviation over the first axis that is no repeat, and every cell.

    Args:
        sweep: What the cells are of; further axes that are no repeats give a line each.
        rows: The cells.
        metric: Name of the number.

    Returns:
        The figure, or None if no cell has the number.
    """
    from matplotlib.figure import Figure

    lines = _lines(sweep, rows, metric)
    if not lines:
        return None
    figure = Figure(figsize=_SIZE, layout="constrained")
    axis = figure.subplots()
    for index, (label, line) in enumerate(lines.items()):
        shift = _WIDTH * ((index + 0.5) / len(lines) - 0.5)
        _draw(axis, line, shift, index, label, _is_joined(sweep))
    _label(axis, sweep, metric)
    if any(lines):
        # beside the axes no mean is hidden, however many lines there are
        axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _lines(sweep: Sweep, rows: Sequence[Row], metric: str) -> dict[str, Line]:
    lines: dict[str, Line] = {}
    places = {name: place for place, name in enumerate(_ticks(sweep))}
    for points, group in grouped(sweep, rows).items():
        if spread_of(group, metric) is not None:
            place = places[points[0]] if points else 0
            values = [row.metrics[metric] for row in group if metric in row.metrics]
            lines.setdefault(_legend(sweep, points), {})[place] = values
    return lines


def _legend(sweep: Sweep, points: Sequence[str]) -> str:
    """Name the points beyond the first axis; a bare value needs its axis to be understood."""
    named = list(zip(sweep.compared, points, strict=True))[1:]
    return ", ".join(p if sweep.axes[a].key is None else f"{a} {p}" for a, p in named)


def _draw(axis: Axes, line: Line, shift: float, index: int, label: str, joined: bool) -> None:
    color, marker = _COLORS[index % len(_COLORS)], _MARKERS[index % len(_MARKERS)]
    for place, values in line.items():
        axis.plot([place + shift] * len(values), values, ".", color=color, alpha=0.35, markersize=4)
    spreads = {place: Spread.of(values) for place, values in sorted(line.items())}
    axis.errorbar(
        [place + shift for place in spreads],
        [spread.mean for spread in spreads.values()],
        yerr=[spread.std or 0.0 for spread in spreads.values()],
        fmt=marker,
        linestyle="-" if joined else "none",
        linewidth=1,
        markersize=5,
        capsize=3,
        color=color,
        label=label or None,
    )


def _label(axis: Axes, sweep: Sweep, metric: str) -> None:
    ticks = _ticks(sweep)
    axis.set_xticks(range(len(ticks)), ticks)
    axis.set_xlim(-0.5, len(ticks) - 0.5)
    axis.set(xlabel=sweep.compared[0] if sweep.compared else "", ylabel=metric)
    axis.grid(axis="y", color="#e4e7ec", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _ticks(sweep: Sweep) -> list[str]:
    if not sweep.compared:
        return ["all cells"]
    return [point.name for point in sweep.axes[sweep.compared[0]].points]


def _is_joined(sweep: Sweep) -> bool:
    return bool(sweep.compared) and sweep.axes[sweep.compared[0]].is_numeric
