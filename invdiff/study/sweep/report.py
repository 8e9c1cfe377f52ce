"""The tables of a sweep as files and as one page, from what its folder holds."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from invdiff.study.page import inlined, render
from invdiff.study.sweep.cells import cells_of
from invdiff.study.sweep.config import Sweep
from invdiff.study.sweep.figures import draw_metric
from invdiff.study.sweep.folders import Status, SweepFolder
from invdiff.study.sweep.table import (
    Row,
    Spread,
    grouped,
    read_row,
    shown_metrics,
    spread_of,
    write_summary,
    write_table,
)

__all__ = ["write_sweep_report"]

_log = logging.getLogger(__name__)

# a page of all numbers of large cells would be long and slow to open
_MOST_FIGURES = 8
# more places before the point are an exponent
_MOST_DIGITS = 7


def write_sweep_report(path: Path, lost: Mapping[str, str]) -> list[Row]:
    """Write ``table.csv``, ``summary.csv``, a figure for each metric and ``report.html``.

    Args:
        path: Folder of the sweep, whose cells may be in any state.
        lost: Name of a cell whose worker was lost to the reason.

    Returns:
        The rows of the table.
    """
    folder = SweepFolder(path)
    sweep = folder.sweep()
    rows = [read_row(folder, cell, lost) for cell in cells_of(sweep)]
    metrics = shown_metrics(sweep, rows)
    _warn_of_unknown(metrics, rows)
    write_table(path / "table.csv", sweep, rows, metrics)
    write_summary(path / "summary.csv", sweep, rows, metrics)
    render(
        path / "report.html",
        "sweep",
        title=sweep.title or sweep.name,
        summary=_summary(sweep, rows),
        axes=sweep.compared,
        repeats=sweep.repeats,
        all_axes=list(sweep.axes),
        metrics=metrics,
        groups=_groups(sweep, rows, metrics),
        figures=_figures(path, sweep, rows, metrics),
        most_figures=_MOST_FIGURES if len(metrics) > _MOST_FIGURES and not sweep.metrics else 0,
        rows=rows,
        unfinished=[row for row in rows if row.error],
        number=_number,
        config=yaml.safe_dump(sweep.model_dump(mode="json"), sort_keys=False),
    )
    return rows


def _warn_of_unknown(metrics: Sequence[str], rows: Sequence[Row]) -> None:
    known = dict.fromkeys(name for row in rows for name in row.metrics)
    unknown = [name for name in metrics if name not in known]
    if known and unknown:
        _log.warning("metrics: no cell has %s; there are %s", ", ".join(unknown), ", ".join(known))


def _groups(sweep: Sweep, rows: Sequence[Row], metrics: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "points": points or ("all cells",),
            "count": sum(row.status is Status.FINISHED for row in group),
            "of": len(group),
            "cells": [_mean(spread_of(group, metric)) for metric in metrics],
        }
        for points, group in grouped(sweep, rows).items()
    ]


def _figures(
    path: Path, sweep: Sweep, rows: Sequence[Row], metrics: Sequence[str]
) -> list[dict[str, str]]:
    shown = metrics if sweep.metrics else metrics[:_MOST_FIGURES]
    drawn = {metric: draw_metric(sweep, rows, metric) for metric in shown}
    return [
        {"title": metric, "data": inlined(figure, path / f"{metric}.png")}
        for metric, figure in drawn.items()
        if figure is not None
    ]


def _summary(sweep: Sweep, rows: Sequence[Row]) -> str:
    counts = {s: sum(row.status is s for row in rows) for s in Status}
    parts = [f"{count} {status}" for status, count in counts.items() if count]
    axes = " x ".join(f"{len(axis.points)} {name}" for name, axis in sweep.axes.items())
    return f"{len(rows)} cells ({axes}): {', '.join(parts)}."


def _mean(spread: Spread | None) -> tuple[str, str]:
    """Return mean and standard deviation as text; the latter sets the digits of both."""
    if spread is None:
        return ("", "")
    if not spread.std or not spread.std < float("inf"):
        return (_number(spread.mean), "" if spread.std is None else _number(spread.std))
    digits = int(f"{spread.std:.1e}".split("e")[1])
    if not -6 < digits <= _MOST_DIGITS or abs(spread.mean) >= 10**_MOST_DIGITS:
        return (f"{spread.mean:.4g}", f"{spread.std:.2g}")
    places = max(0, 1 - digits)
    return (f"{spread.mean:.{places}f}", f"{spread.std:.{places}f}")


def _number(value: float | None) -> str:
    if value is None:
        return ""
    # counts are whole, and four digits of a large number would hide its size in an exponent
    if isinstance(value, int) or 1e4 <= abs(value) < 10**_MOST_DIGITS:
        return f"{value:.0f}"
    return f"{value:.4g}"
