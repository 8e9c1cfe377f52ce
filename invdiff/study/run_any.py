"""Run whatever a configuration holds, a reconstruction or a scripted study, into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from invdiff.study.config import Experiment
from invdiff.study.run import run_experiment
from invdiff.study.run_scripted import run_study
from invdiff.study.scripted import ScriptedStudy

__all__ = ["run_any"]


def run_any(
    experiment: Experiment | ScriptedStudy,
    out: Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
) -> dict[str, Any]:
    """Compute, and write the folder ``out``; see ``run_experiment`` and ``run_study``.

    Returns:
        The metrics.

    Raises:
        ValueError: One line on what is wrong.
    """
    if isinstance(experiment, ScriptedStudy):
        return run_study(experiment, out, overwrite=overwrite, resume=resume)
    return run_experiment(experiment, out, overwrite=overwrite, resume=resume)
