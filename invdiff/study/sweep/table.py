"""The numbers of all cells, and their mean and spread over the repeats."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from invdiff.study.sweep.cells import Cell
from invdiff.study.sweep.config import Sweep
from invdiff.study.sweep.folders import Status, SweepFolder

__all__ = [
    "Row",
    "Spread",
    "grouped",
    "read_row",
    "shown_metrics",
    "spread_of",
    "write_summary",
    "write_table",
]


@dataclass(frozen=True)
class Row:
    """What is known of a cell.

    Args:
        cell: Which.
        status: How it stands.
        error: One line on why it isn't finished.
        wall_seconds: From start to end of the attempt that finished it.
        metrics: Its numbers by name; lists are left out.
    """

    cell: Cell
    status: Status
    error: str
    wall_seconds: float | None
    metrics: dict[str, float]


@dataclass(frozen=True)
class Spread:
    """Statistics of a metric over repeats.

    Args:
        mean: Of the values there are.
        std: With Bessel's correction; None for a single value.
        count: Of values.
        low: Smallest.
        high: Largest.
    """

    mean: float
    std: float | None
    count: int
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Describe values, at least one."""
        numbers = np.asarray(values, dtype=np.float64)
        # an infinite value has no spread, which shows as nan
        with np.errstate(invalid="ignore"):
            std = float(numbers.std(ddof=1)) if len(numbers) > 1 else None
            mean, low, high = (float(f(numbers)) for f in (np.mean, np.min, np.max))
        return cls(mean, std, len(numbers), low, high)


def read_row(folder: SweepFolder, cell: Cell, lost: Mapping[str, str]) -> Row:
    """Read how a cell stands.

    Args:
        folder: Of the sweep.
        cell: Which.
        lost: Name of a cell whose worker was lost to the reason.
    """
    place = folder.cell(cell)
    status, error = place.status, place.failure()
    if status is Status.FINISHED:
        metrics, about = (
            json.loads((place.path / f"{n}.json").read_text()) for n in ("metrics", "provenance")
        )
        return Row(cell, status, "", _seconds(about), _numbers(metrics))
    if status is Status.PENDING:
        error = lost.get(cell.name, "")
        status = Status.LOST if error else status
    return Row(cell, status, error, None, {})


def shown_metrics(sweep: Sweep, rows: Iterable[Row]) -> list[str]:
    """Return the names of the metrics of the tables: those chosen, or all in order of sight."""
    return list(sweep.metrics or dict.fromkeys(name for row in rows for name in row.metrics))


def grouped(sweep: Sweep, rows: Iterable[Row]) -> dict[tuple[str, ...], list[Row]]:
    """Return the rows of each combination of points on the axes that are no repeats."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.cell.points[a] for a in sweep.compared), []).append(row)
    return groups


def spread_of(rows: Iterable[Row], metric: str) -> Spread | None:
    """Describe a metric over rows, None if it is in none of them."""
    values = [row.metrics[metric] for row in rows if metric in row.metrics]
    return Spread.of(values) if values else None


def write_table(path: Path, sweep: Sweep, rows: Sequence[Row], metrics: Sequence[str]) -> None:
    """Write a line for each cell: axes, status, seconds, metrics, error."""
    columns = [metric if metric not in sweep.axes else f"{metric} (metric)" for metric in metrics]
    header = ["cell", *sweep.axes, "status", "wall_seconds", *columns, "error"]
    lines = [
        [
            row.cell.name,
            *row.cell.points.values(),
            row.status,
            row.wall_seconds,
            *(row.metrics.get(metric) for metric in metrics),
            row.error,
        ]
        for row in rows
    ]
    _write(path, header, lines)


def write_summary(path: Path, sweep: Sweep, rows: Sequence[Row], metrics: Sequence[str]) -> None:
    """Write a line for each combination and metric: mean, spread, count, smallest and largest."""
    header = [*sweep.compared, "metric", "mean", "std", "count", "min", "max"]
    lines: list[list[Any]] = []
    for points, group in grouped(sweep, rows).items():
        for metric in metrics:
            s = spread_of(group, metric)
            found = [s.mean, s.std, s.count, s.low, s.high] if s else [None, None, 0, None, None]
            lines.append([*points, metric, *found])
    _write(path, header, lines)


def _write(path: Path, header: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    partial = path.with_suffix(".partial.csv")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(lines)
    partial.replace(path)


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: value
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _seconds(about: Mapping[str, Any]) -> float:
    start, end = (datetime.fromisoformat(about[key]) for key in ("started", "finished"))
    return (end - start).total_seconds()
