"""The sub-command that runs a grid of experiments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from invdiff.study.options import OutFolder, SetValues

__all__ = ["SweepCommand"]


@dataclass(frozen=True)
class SweepCommand:
    """Run a grid of experiments, and put all their results into one table.

    Cells that are finished in that folder stay as they are, and interrupted ones go on.

    Args:
        config: A YAML file, or the name of a shipped sweep such as sweep_ct.
        out: Folder for the results, new or of an earlier attempt.
        set: Change a value of all cells, such as sampler.num_steps=50.
        workers: Cells at a time, each in a process; as many as there are cores for if not given,
            0 for none but this process.
        ray: Run on a cluster: auto, local, host:port or ray://host:port.
        retry: Run again the cells that failed; those that were lost run again anyway.
        overwrite: Run again the cells whose configuration changed.
        dry_run: List the cells, and run none.
    """

    config: Positional[Annotated[str, arg(metavar="STUDY")]]
    out: OutFolder
    set: SetValues = ()
    workers: Annotated[int | None, arg(metavar="N")] = None
    ray: Annotated[str | None, arg(metavar="ADDRESS")] = None
    retry: bool = False
    overwrite: bool = False
    dry_run: bool = False

    def __call__(self) -> None:
        """Run it; exit with 1 if a cell has no result."""
        self._check()
        from invdiff.study.sweep import Status, load_sweep, plan_sweep, run_sweep

        sweep = load_sweep(self.config, self.set)
        plan = plan_sweep(sweep, self.out, retry=self.retry, overwrite=self.overwrite)
        if self.dry_run:
            for cell in plan.cells:
                print(f"{cell.name}  {plan.before[cell.name]}")
            print(plan.describe())
            return
        print(plan.describe(), flush=True)
        rows = run_sweep(plan, workers=self.workers, ray=self.ray)
        finished = sum(row.status is Status.FINISHED for row in rows)
        failed = any(row.status is Status.FAILED for row in rows)
        hint = "; --retry runs those that failed again" if failed else ""
        print(f"{finished} of {len(rows)} cells are finished{hint}")
        print(f"report: {(self.out / 'report.html').resolve()}")
        if finished < len(rows):
            raise SystemExit(1)

    def _check(self) -> None:
        if self.workers is not None and self.workers < 0:
            raise ValueError(f"--workers: expected at least 0, got {self.workers}")
        if self.ray is None:
            return
        from invdiff.study.sweep.cluster import check_address

        check_address(self.ray)
        if self.workers is not None and self.ray != "local":
            raise ValueError("--workers: on a cluster, its machines decide how many cells run")
        if self.workers == 0:
            raise ValueError("--workers: expected at least 1 with --ray, got 0")
