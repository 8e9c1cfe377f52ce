"""Run a scripted study into a folder, and draw its report."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from invdiff.study.device import require_device
from invdiff.study.folder import discard_unstarted, finish, is_finished, prepare
from invdiff.study.load import parse_study
from invdiff.study.page import inlined, render
from invdiff.study.prior import PriorConfig
from invdiff.study.provenance import circumstances
from invdiff.study.scripted import Arrays, Metrics, ScriptedStudy
from invdiff.study.stages import Stages
from invdiff.study.stored import Stored
from invdiff.study.volume_files import write_volumes

__all__ = ["read_study", "run_study", "write_study_report"]


def run_study(
    study: ScriptedStudy, out: Path, *, overwrite: bool = False, resume: bool = False
) -> Metrics:
    """Compute a study, and write the folder ``out``.

    Args:
        study: All choices.
        out: A new or empty folder.
        overwrite: Replace an earlier result.
        resume: Go on with an interrupted run of the same study; a finished one is left.

    Returns:
        The metrics.

    Raises:
        ValueError: One line on what is wrong.
    """
    if resume and not overwrite and is_finished(study, out):
        return _json(out / "metrics.json")
    require_device(study.device)
    study.check_inputs()
    working = prepare(study, out, overwrite=overwrite, resume=resume)
    try:
        metrics = _compute(study, working)
    except BaseException as error:
        if not discard_unstarted(working):
            error.add_note(f"finished stages are kept in {working}, --resume goes on with them")
        raise
    finish(working, out)
    return metrics


def write_study_report(folder: Path) -> Path:
    """Draw the figures of a finished study into its folder, and write ``report.html``.

    Raises:
        ValueError: The folder holds no finished study.
    """
    study, metrics, provenance, arrays = read_study(folder)
    captions = study.captions()
    figures = [
        {
            "title": name.replace("_", " ").capitalize(),
            "data": inlined(figure, folder / f"{name}.png"),
            "caption": captions.get(name, ""),
        }
        for name, figure in study.figures(metrics, arrays).items()
    ]
    return render(
        folder / "report.html",
        "study",
        title=study.title or study.name,
        summary=study.summary(metrics),
        tables=study.tables(metrics),
        figures=figures,
        links=study.links(folder),
        config=yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False),
        provenance=yaml.safe_dump(provenance, sort_keys=False),
    )


def _compute(study: ScriptedStudy, folder: Path) -> Metrics:
    started = datetime.now(UTC)
    outcome = study.compute(Stages(folder / "stages"))
    finished = datetime.now(UTC)
    provenance = (
        circumstances(study.seed, study.device)
        | _dtypes(study)
        | {
            "started": started.isoformat(),
            "finished": finished.isoformat(),
        }
    )
    metrics = outcome.metrics
    for name, content in (("metrics", metrics), ("provenance", provenance)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    np.savez_compressed(folder / "arrays.npz", **outcome.arrays)  # type: ignore[arg-type]
    write_volumes(folder, outcome.images)
    for name, fill in outcome.folders.items():
        fill(folder / name)
    write_study_report(folder)
    return metrics


def _dtypes(study: ScriptedStudy) -> dict[str, str]:
    """Return the precision of the study's networks, which may depend on the device."""
    priors = {name: value for name, value in study if isinstance(value, PriorConfig)}
    return {f"{name}_dtype": value.dtype_on(study.device) for name, value in priors.items()}


def read_study(folder: Path) -> tuple[ScriptedStudy, Metrics, dict[str, Any], Arrays]:
    """Return a finished study with its metrics, provenance and arrays.

    Raises:
        ValueError: The folder holds no finished study; later, a metric or an array that is asked
            for isn't there.
    """
    try:
        study = parse_study(yaml.safe_load((folder / "config.yaml").read_text()))
        metrics, provenance = (_json(folder / f"{n}.json") for n in ("metrics", "provenance"))
        with np.load(folder / "arrays.npz", allow_pickle=False) as stored:
            arrays = Stored(stored, folder, "array")
    # the folder may be anything
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{folder}: not the folder of a finished study ({reason})") from error
    if not isinstance(study, ScriptedStudy):
        raise ValueError(f"{folder}: holds a reconstruction, not a study")
    return study, Stored(metrics, folder, "metric"), provenance, arrays


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content
