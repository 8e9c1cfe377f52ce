"""Run one cell in this process; whoever started it reads from the folders how it went."""

from __future__ import annotations

import traceback
from pathlib import Path

import torch

from invdiff.study.config import Experiment
from invdiff.study.run_any import run_any
from invdiff.study.scripted import ScriptedStudy
from invdiff.study.sweep.cells import cell_called
from invdiff.study.sweep.folders import CellFolder, Status, SweepFolder

__all__ = ["execute"]


def execute(path: Path, name: str) -> Status:
    """Run a cell of a sweep on the threads of the sweep; go on with what an earlier attempt left.

    Args:
        path: Folder of the sweep.
        name: Of the cell.

    Returns:
        Finished or failed; the error of a failure is written beside the folder of the cell.

    Raises:
        ValueError: There is no such cell.
    """
    sweeps = SweepFolder(path)
    sweep = sweeps.sweep()
    cell = cell_called(name, sweep)
    folder = sweeps.cell(cell)
    torch.set_num_threads(sweep.threads)
    try:
        _run(cell.experiment(), folder)
    except KeyboardInterrupt:
        # without the note on an option of invdiff run
        raise KeyboardInterrupt from None
    # whatever it is, the other cells go on
    except Exception as error:
        # the attempt of a worker that was given up may have come first after all
        if folder.status is not Status.FINISHED:
            folder.record_failure(_line(error), traceback.format_exc())
            return Status.FAILED
    folder.forget_failure()
    return Status.FINISHED


def _run(experiment: Experiment | ScriptedStudy, folder: CellFolder) -> None:
    """Run into the folder, unless it is finished."""
    if folder.status is Status.FINISHED:
        return
    # the sweep has asked before whether it may replace older results
    overwrite, resume = folder.path.exists() or folder.partial.exists(), folder.resumable
    run_any(experiment, folder.path, overwrite=overwrite, resume=resume)


def _line(error: Exception) -> str:
    kind = "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
    return f"{kind}{' '.join(str(error).split())}" or type(error).__name__
