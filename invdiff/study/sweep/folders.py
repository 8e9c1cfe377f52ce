"""Where the cells of a sweep are, and how far each has come: the folders are the only memory."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO

import yaml

from invdiff.study.base import Config
from invdiff.study.folder import changed_keys
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

    def create(self) -> None:
        """Make the folder, if it isn't there.

        Raises:
            ValueError: It holds something else.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{self.path}: expected a folder, found a file")
        if self.path.is_dir() and not self._is_ours():
            raise ValueError(f"{self.path}: is not empty and holds no earlier sweep")
        for name in ("cells", "logs"):
            (self.path / name).mkdir(parents=True, exist_ok=True)

    def write(self, sweep: Sweep) -> None:
        """Write the values of the sweep, which may have other cells than before."""
        text = yaml.safe_dump(sweep.model_dump(mode="json"), sort_keys=False)
        partial = self._values.with_suffix(".partial.yaml")
        partial.write_text(text)
        partial.replace(self._values)

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Keep other sweeps out of the folder, until this one ends in whatever way.

        Raises:
            ValueError: Another one runs in it.
        """
        with (self.path / ".lock").open("w") as file:
            if not _locked(file):
                raise ValueError(f"{self.path}: another sweep runs in this folder")
            yield

    def sweep(self) -> Sweep:
        """Read the values back."""
        return read_sweep(self._values)

    def cell(self, cell: Cell) -> CellFolder:
        """Return the folder of a cell."""
        return CellFolder(self.path / "cells" / cell.name, cell.experiment())

    def log(self, cell: Cell) -> Path:
        """Return the file for what the process of a cell writes."""
        return self.path / "logs" / f"{cell.name}.txt"

    def _is_ours(self) -> bool:
        # a sweep that was killed early has no values yet
        found = {path.name for path in self.path.iterdir()}
        return found <= {"cells", "logs", ".lock"} or self._values.is_file()

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
        self._experiment = experiment

    @property
    def status(self) -> Status:
        """How this very experiment stands; older ones of other values don't count."""
        if (self.path / "report.html").is_file() and not changed_keys(self._experiment, self.path):
            return Status.FINISHED
        if self.failed.is_dir() and not changed_keys(self._experiment, self.failed):
            return Status.FAILED
        return Status.PENDING

    @property
    def resumable(self) -> bool:
        """Whether finished stages of this very experiment wait for the others."""
        return self.partial.is_dir() and not changed_keys(self._experiment, self.partial)

    def check_unchanged(self) -> None:
        """Refuse to replace what another configuration left.

        Raises:
            ValueError: One line with the keys that changed.
        """
        for folder in (self.path, self.partial, self.failed):
            changed = changed_keys(self._experiment, folder) if folder.is_dir() else []
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
        values = yaml.safe_dump(self._experiment.model_dump(mode="json"), sort_keys=False)
        (self.failed / "config.yaml").write_text(values)

    def failure(self) -> str:
        """Return the line of the failure, empty if there is none."""
        path = self.failed / "error.txt"
        return path.read_text(encoding="utf-8").split("\n", 1)[0] if path.is_file() else ""


_ENDINGS = ("partial", "failed")


def _locked(file: IO[str]) -> bool:
    """Lock a file as long as it is open; the system lets go of it when the process dies."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # some network file systems have no locks; work goes on as without one
    except OSError:
        return True
    return True
