"""Cells on this machine, each in a process of its own, some at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence

from invdiff.study.sweep.cells import Cell
from invdiff.study.sweep.environment import EXIT_FAILED, thread_variables
from invdiff.study.sweep.execute import execute
from invdiff.study.sweep.folders import Status, SweepFolder

__all__ = ["Report", "default_workers", "run_here", "run_in_processes"]

# called with each cell that ended, how, and why if it was lost
Report = Callable[[Cell, Status, str], None]

_ATTEMPTS = 2
_POLL_SECONDS = 0.05


def default_workers(threads: int) -> int:
    """Return how many cells of so many threads fit on this machine, at least 1."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, cores // threads)


def run_here(cells: Sequence[Cell], folder: SweepFolder, report: Report) -> None:
    """Run cells in this process, one after another."""
    for cell in cells:
        report(cell, execute(folder.path, cell.name), "")


def run_in_processes(
    cells: Sequence[Cell], folder: SweepFolder, threads: int, workers: int, report: Report
) -> None:
    """Run every cell in a process of its own.

    A process that ends without a word, killed by the system for its memory perhaps, takes no
    other with it, and its cell is tried once more. However this function ends, no process is left.

    Args:
        cells: To run.
        folder: Of the sweep.
        threads: Of each process, set before torch is imported.
        workers: Processes at a time.
        report: Called with each cell that ended.
    """
    waiting = deque((cell, 1) for cell in cells)
    running: dict[subprocess.Popen[bytes], tuple[Cell, int]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                cell, attempt = waiting.popleft()
                running[_started(cell, folder, threads)] = (cell, attempt)
            for process in [p for p in running if p.poll() is not None]:
                cell, attempt = running.pop(process)
                _close(process)
                status = _status(process.returncode)
                if status is Status.LOST and attempt < _ATTEMPTS:
                    waiting.append((cell, attempt + 1))
                else:
                    report(cell, status, _why(process.returncode, folder, cell))
            time.sleep(_POLL_SECONDS)
    finally:
        for process in running:
            process.kill()
            process.wait()
            _close(process)


def _started(cell: Cell, folder: SweepFolder, threads: int) -> subprocess.Popen[bytes]:
    words = ["-X", "faulthandler", "-m", "invdiff.study.sweep.process"]
    with folder.log(cell).open("wb") as log:
        return subprocess.Popen(
            [sys.executable, *words, str(folder.path), cell.name],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **thread_variables(threads)},
        )


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()


def _status(code: int) -> Status:
    return {0: Status.FINISHED, EXIT_FAILED: Status.FAILED}.get(code, Status.LOST)


def _why(code: int, folder: SweepFolder, cell: Cell) -> str:
    if code in (0, EXIT_FAILED):
        return ""
    how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    return f"its process ended by {how}, {_ATTEMPTS} times; see {folder.log(cell)}"
