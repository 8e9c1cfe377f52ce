"""A finished result as Markdown, for papers, notebooks and pages of documentation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from invdiff.study.load import is_scripted, list_experiments
from invdiff.study.page import filled
from invdiff.study.report import summary_of
from invdiff.study.result import Result, read_result
from invdiff.study.run_scripted import read_study
from invdiff.study.scripted import Table

__all__ = ["as_markdown"]

_COLUMNS = {
    "psnr": ("PSNR (dB)", 2),
    "ssim": ("SSIM", 4),
    "heldout_nrmse": ("held-out NRMSE", 4),
    "residual_over_noise": ("residual / noise", 3),
    "seconds": ("seconds", 1),
}


def as_markdown(folder: Path) -> str:
    """Return title, summary, command, tables and circumstances of a finished result.

    Raises:
        ValueError: The folder holds no finished run or study, or a sweep.
    """
    if (folder / "sweep.yaml").is_file():
        raise ValueError(f"{folder}: the tables of a sweep are its summary.csv and table.csv")
    if is_scripted(folder):
        study, metrics, provenance, _ = read_study(folder)
        return _page(study, study.summary(metrics), study.tables(metrics), provenance)
    result = read_result(folder)
    provenance = result.provenance
    return _page(result.experiment, summary_of(result), [_methods(result)], provenance)


def _page(experiment: Any, summary: str, tables: Sequence[Table], provenance: Any) -> str:
    name = experiment.name
    return filled(
        "result.md",
        title=experiment.title or name,
        summary=summary,
        command=f"invdiff {_verb(experiment)} {name}" if name in list_experiments() else "",
        tables=[_escaped(table) for table in tables],
        made=_made(provenance),
    )


def _verb(experiment: Any) -> str:
    from invdiff.study.trains import TrainingStudy

    return "train" if isinstance(experiment, TrainingStudy) else "run"


def _methods(result: Result) -> Table:
    """Return one row for each method; what was not measured has no column."""
    from invdiff.study.figures import title_of

    keys = [key for key in _COLUMNS if result.metrics.get(key) is not None]
    rows = tuple(
        (title_of(result, name), *(_number(result.metric(key, name), key) for key in keys))
        for name in result.images
    )
    return Table("", ("method", *(_COLUMNS[key][0] for key in keys)), rows)


def _number(value: float | None, key: str) -> str:
    return "" if value is None else f"{value:.{_COLUMNS[key][1]}f}"


def _escaped(table: Table) -> Table:
    """Keep bars in cells from ending them."""
    rows = tuple(tuple(cell.replace("|", "\\|") for cell in row) for row in table.rows)
    columns = tuple(column.replace("|", "\\|") for column in table.columns)
    return Table(table.title, columns, rows, table.caption)


def _made(provenance: dict[str, Any]) -> str:
    started, finished = (datetime.fromisoformat(provenance[k]) for k in ("started", "finished"))
    threads = provenance["threads"]
    return (
        f"Made on {started:%Y-%m-%d} with torch {provenance['versions']['torch']} on "
        f"{provenance['device']}, {threads} {'thread' if threads == 1 else 'threads'}, "
        f"in {(finished - started).total_seconds():.0f} s"
    )
