"""The sub-command that measures speed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

__all__ = ["Bench"]


@dataclass(frozen=True)
class Bench:
    """Time operators or samplers beside those of other packages that are installed.

    Args:
        what: What to time.
        device: "cpu" or "cuda".
        case: Only this one of the cases; may be given several times.
        threads: Threads that each package may use.
        rounds: Turns; the median over them is shown.
        json: File to write the numbers to.
    """

    what: Positional[
        Annotated[Literal["operators", "samplers"], arg(metavar="{operators,samplers}")]
    ]
    device: Literal["cpu", "cuda"] = "cpu"
    case: UseAppendAction[Annotated[tuple[str, ...], arg(metavar="NAME")]] = ()
    threads: int = 1
    rounds: int = 5
    json: Annotated[Path | None, arg(metavar="FILE")] = None

    def __call__(self) -> None:
        """Measure, print the table and write the file."""
        import torch
        from tqdm import tqdm

        from invdiff import bench

        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("--device cuda: no CUDA device is available")
        if self.threads < 1:
            raise ValueError(f"--threads: expected at least 1, got {self.threads}")
        if self.json is not None and not self.json.parent.is_dir():
            raise ValueError(f"--json: no such folder: {self.json.parent}")
        machine = bench.Machine.measured(self.device, self.threads)
        measure, table = (
            (bench.bench_operators, bench.as_markdown)
            if self.what == "operators"
            else (bench.bench_samplers, bench.samplers_as_markdown)
        )
        rows: list[Any] = []
        for row in measure(machine, self.case, rounds=self.rounds, progress=tqdm.write):
            rows.append(row)
            if self.json is not None:  # a run that is stopped leaves what it has
                self.json.write_text(bench.as_json(rows, machine))
        print(f"{machine.name}, {machine.threads} thread(s)\n\n{table(rows)}")
