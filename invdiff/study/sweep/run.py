"""A sweep from its values to its tables: what is finished stays, what failed stops nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from invdiff.study.sweep.cells import Cell, cells_of, check_cells
from invdiff.study.sweep.config import Sweep
from invdiff.study.sweep.folders import Status, SweepFolder
from invdiff.study.sweep.local import default_workers, run_here, run_in_processes
from invdiff.study.sweep.report import write_sweep_report
from invdiff.study.sweep.table import Row

__all__ = ["Plan", "plan_sweep", "run_sweep"]


@dataclass(frozen=True)
class Plan:
    """What is to be done in a folder.

    Args:
        sweep: All values.
        path: Folder of the sweep.
        cells: All of them.
        before: How each stood, by name.
        waiting: Those to run.
    """

    sweep: Sweep
    path: Path
    cells: list[Cell]
    before: dict[str, Status]
    waiting: list[Cell]

    def describe(self) -> str:
        """Say in one line how many cells there are, and how they stand."""
        counts = {s: list(self.before.values()).count(s) for s in (Status.FINISHED, Status.FAILED)}
        known = "".join(f", {count} {status} before" for status, count in counts.items() if count)
        return f"{len(self.cells)} cells{known}, {len(self.waiting)} to run"


def plan_sweep(sweep: Sweep, path: Path, *, retry: bool = False, overwrite: bool = False) -> Plan:
    """Check every cell and how it stands, before anything is written or run.

    Args:
        sweep: All values.
        path: Folder of the sweep, new or of an earlier attempt.
        retry: Run again what failed.
        overwrite: Run again what has another configuration than before.

    Raises:
        ValueError: One line: a cell that is no experiment, or one that was another before.
    """
    cells, folder = cells_of(sweep), SweepFolder(path)
    check_cells(cells)
    before = {cell.name: folder.cell(cell).status for cell in cells}
    if not overwrite:
        for cell in cells:
            folder.cell(cell).check_unchanged()
    done = {Status.FINISHED} if retry else {Status.FINISHED, Status.FAILED}
    return Plan(sweep, path, cells, before, [c for c in cells if before[c.name] not in done])


def run_sweep(plan: Plan, *, workers: int | None = None, ray: str | None = None) -> list[Row]:
    """Run the cells of a plan, and write tables and report, after an interruption too.

    Args:
        plan: What is to be done.
        workers: Processes at a time; as many as the machine has cores for by default, 0 runs the
            cells in this process.
        ray: Address of a cluster to run on instead.

    Returns:
        The rows of the table, of all cells.

    Raises:
        ValueError: One line: the folder holds something else, another sweep runs in it, or the
            cluster refuses.
    """
    folder = SweepFolder(plan.path)
    folder.create()
    with folder.reserved():
        return _run_alone(plan, folder, workers, ray)


def _run_alone(plan: Plan, folder: SweepFolder, workers: int | None, ray: str | None) -> list[Row]:
    folder.write(plan.sweep)
    for cell in plan.waiting:
        folder.cell(cell).forget_failure()
    told = _Told(len(plan.cells), len(plan.waiting), folder)
    try:
        _run(plan, folder, workers, ray, told)
    except KeyboardInterrupt as error:
        error.add_note("the same command goes on with the sweep")
        raise
    finally:
        told.bar.close()
        rows = write_sweep_report(plan.path, told.lost)
    return rows


def _run(
    plan: Plan, folder: SweepFolder, workers: int | None, ray: str | None, told: _Told
) -> None:
    if not plan.waiting:
        return
    count = default_workers(plan.sweep.threads) if workers is None else workers
    cells: Sequence[Cell] = plan.waiting
    if ray is not None:
        from invdiff.study.sweep.cluster import run_on_ray

        run_on_ray(cells, folder, plan.sweep, ray, count, told)
    elif count == 0:
        run_here(cells, folder, told)
    else:
        run_in_processes(cells, folder, plan.sweep.threads, count, told)


@dataclass
class _Told:
    """A progress bar of cells, above which failures are told as they come."""

    total: int
    waiting: int
    folder: SweepFolder
    lost: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bar = tqdm(
            desc="cells",
            total=self.total,
            initial=self.total - self.waiting,
            unit="cell",
            dynamic_ncols=True,
        )

    def __call__(self, cell: Cell, status: Status, why: str) -> None:
        if status is Status.LOST:
            self.lost[cell.name] = why
        line = why or self.folder.cell(cell).failure()
        if status is not Status.FINISHED:
            self.bar.write(f"{cell.name}: {status}: {line}", file=sys.stderr)
        self.bar.update()
