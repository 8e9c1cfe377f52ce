"""Where the cells of a sweep are, and how far each has come: the folders are the only memory."""

from __future__ import annotations

import shutil
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from invdiff.study.base import Config
from invdiff.study.sweep.cells import Cell
from invdiff.study.sweep.config import Sweep, read_sweep

__all__ = ["CellFolder", "Status", "SweepFolder"]


class Status(StrEnum):
    """How a cell stands."""

    FINISHED = "finished"
    FAILED = "failed"
    LOST = "lost"
    PENDING = "not run"


class SweepFolder:
    """The folder of a sweep.

    Args:
        path: With ``sweep.yaml`` (all values), ``cells`` and ``logs``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self, sweep: Sweep) -> None:
        """Write the values of the sweep, which may have other cells than before.

        Raises:
            ValueError: The folder holds something else.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{self.path}: expected a folder, found a file")
        if self.path.is_dir() and any(self.path.iterdir()) and not self._values.is_file():
            raise ValueError(f"{self.path}: is not empty and holds no earlier sweep")
        for name in ("cells", "logs"):
            (self.path / name).mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(sweep.model_dump(mode="json"), sort_keys=False)
        partial = self._values.with_suffix(".partial.yaml")
        partial.write_text(text)
        partial.replace(self._values)

    def sweep(self) -> Sweep:
        """Read the values back."""
        return read_sweep(self._values)

    def cell(self, cell: Cell) -> CellFolder:
        """Return the folder of a cell."""
        return CellFolder(self.path / "cells" / cell.name, cell.experiment())

    def log(self, cell: Cell) -> Path:
        """Return the file for what the process of a cell writes."""
        return self.path / "logs" / f"{cell.name}.txt"

    @property
    def _values(self) -> Path:
        return self.path / "sweep.yaml"


class CellFolder:
    """The folder of a cell, which a run fills, and beside it that of its failure.

    Args:
        path: Of the run; while it runs or after an interruption it ends in ``.partial``, and the
            record of a failure in ``.failed``.
        experiment: What is to be in it.
    """

    def __init__(self, path: Path, experiment: Config) -> None:
        self.path = path
        self.partial, self.failed = (path.with_name(f"{path.name}.{e}") for e in _ENDINGS)
        self._values = _as_yaml(experiment)

    @property
    def status(self) -> Status:
        """How this very experiment stands; older ones of other values don't count."""
        if (self.path / "report.html").is_file() and not self._changed(self.path):
            return Status.FINISHED
        if self.failed.is_dir() and not self._changed(self.failed):
            return Status.FAILED
        return Status.PENDING

    @property
    def resumable(self) -> bool:
        """Whether finished stages of this very experiment wait for the others."""
        return self.partial.is_dir() and not self._changed(self.partial)

    def check_unchanged(self) -> None:
        """Refuse to replace what another configuration left.

        Raises:
            ValueError: One line with the keys that changed.
        """
        for folder in (self.path, self.partial, self.failed):
            changed = self._changed(folder) if folder.is_dir() else []
            if changed:
                raise ValueError(
                    f"{folder}: holds another configuration ({', '.join(changed)} changed); "
                    "--overwrite replaces it"
                )

    def forget_failure(self) -> None:
        """Remove the record of a failure."""
        shutil.rmtree(self.failed, ignore_errors=True)

    def record_failure(self, line: str, traceback: str) -> None:
        """Keep why the experiment failed: one line, an empty one, the traceback."""
        self.failed.mkdir(parents=True, exist_ok=True)
        (self.failed / "error.txt").write_text(f"{line}\n\n{traceback}", encoding="utf-8")
        (self.failed / "config.yaml").write_text(yaml.safe_dump(self._values, sort_keys=False))

    def failure(self) -> str:
        """Return the line of the failure, empty if there is none."""
        path = self.failed / "error.txt"
        return path.read_text(encoding="utf-8").split("\n", 1)[0] if path.is_file() else ""

    def _changed(self, folder: Path) -> list[str]:
        path = folder / "config.yaml"
        before = yaml.safe_load(path.read_text()) if path.is_file() else {}
        return sorted(key for key in self._values if before.get(key) != self._values[key])


_ENDINGS = ("partial", "failed")


def _as_yaml(experiment: Config) -> dict[str, Any]:
    """Return the values as they are read back from a file."""
    values: dict[str, Any] = yaml.safe_load(yaml.safe_dump(experiment.model_dump(mode="json")))
    return values
