"""The cells of a sweep: one experiment for each combination of the points of its axes."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Any

import yaml

from invdiff.study.config import Experiment
from invdiff.study.load import parse_study
from invdiff.study.scripted import ScriptedStudy
from invdiff.study.sweep.config import Setting, Sweep

__all__ = ["Cell", "cell_called", "cells_of", "check_cells"]

# what file systems take, less the endings that folders get while a cell runs
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Cell:
    """One experiment of a sweep.

    Args:
        name: Of its folder.
        points: Name of the axis to the name of the point on it.
        base: Values that the cells share.
        changes: Dotted key to value, of this cell.
    """

    name: str
    points: dict[str, str]
    base: dict[str, Any]
    changes: dict[str, Any]

    def experiment(self) -> Experiment | ScriptedStudy:
        """Return the experiment, checked.

        Raises:
            ValueError: One line with the name of the cell and what is wrong.
        """
        try:
            return parse_study(self.base, [_override(k, v) for k, v in self.changes.items()])
        except ValueError as error:
            raise ValueError(f"cell {self.name}: {error}") from None


def cells_of(sweep: Sweep) -> list[Cell]:
    """Return all cells, the last axis fastest.

    Raises:
        ValueError: Two cells would have the same name, or one a name that is too long.
    """
    points = [axis.points for axis in sweep.axes.values()]
    cells = [_cell(sweep, combination) for combination in itertools.product(*points)]
    names: set[str] = set()
    for cell in cells:
        if cell.name in names:
            raise ValueError(f"axes: two cells are called {cell.name}")
        if len(cell.name) > _LONGEST_NAME:
            raise ValueError(f"axes: {cell.name} is too long a name, give its settings short ones")
        names.add(cell.name)
    return cells


def cell_called(name: str, sweep: Sweep) -> Cell:
    """Return the cell of a name.

    Raises:
        ValueError: There is none.
    """
    for cell in cells_of(sweep):
        if cell.name == name:
            return cell
    raise ValueError(f"no cell is called {name}")


def check_cells(cells: list[Cell]) -> None:
    """Refuse a sweep before anything runs if one of its experiments is wrong.

    Raises:
        ValueError: One line on the first of them.
    """
    for cell in cells:
        cell.experiment()


def _cell(sweep: Sweep, combination: tuple[Setting, ...]) -> Cell:
    points = {axis: point.name for axis, point in zip(sweep.axes, combination, strict=True)}
    labels = [_label(axis, points[axis], sweep) for axis in sweep.axes]
    name = "_".join(map(_slug, labels))
    base_title = sweep.base.get("title") or sweep.base.get("name") or sweep.name
    changes = {"name": name, "title": f"{base_title}: {', '.join(labels)}", **sweep.set}
    for point in combination:
        changes |= point.set
    return Cell(name, points, sweep.base, changes)


def _label(axis: str, point: str, sweep: Sweep) -> str:
    """Settings are named to be read alone, the value of a key is not."""
    return point if sweep.axes[axis].key is None else f"{axis} {point}"


def _slug(label: str) -> str:
    """Return a word of a file name; a dot stays only within a number."""
    plain = re.sub(r"[^a-z0-9.+-]+|\.(?!\d)", "-", label.lower())
    return plain.strip("-.") or "-"


def _override(key: str, value: Any) -> str:
    return f"{key}={yaml.safe_dump(value, default_flow_style=True)}"
