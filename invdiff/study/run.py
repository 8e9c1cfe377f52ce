"""Run an experiment: everything is checked first, then computed in stages, then written."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from invdiff.priors import RoutedPrior
from invdiff.rng import derive_generator
from invdiff.study.baselines import TITLES, check_baselines, reconstruct_classically
from invdiff.study.build import build_problem
from invdiff.study.config import Experiment
from invdiff.study.device import require_device
from invdiff.study.folder import finish, is_finished, prepare
from invdiff.study.modality import caution, modality_of
from invdiff.study.prior import LoadedPrior
from invdiff.study.problem import Problem
from invdiff.study.progress import Trace
from invdiff.study.provenance import provenance
from invdiff.study.report import write_report
from invdiff.study.result import write_result
from invdiff.study.scores import score
from invdiff.study.stages import Stages

__all__ = ["run_experiment"]

_log = logging.getLogger(__name__)


def run_experiment(
    experiment: Experiment, out: Path, *, overwrite: bool = False, resume: bool = False
) -> dict[str, Any]:
    """Reconstruct, and write the folder ``out``.

    Args:
        experiment: All choices.
        out: A new or empty folder.
        overwrite: Replace an earlier result.
        resume: Go on with an interrupted run of the same experiment; a finished one is left.

    Returns:
        The metrics.

    Raises:
        ValueError: One line on what is wrong, before anything is computed.
    """
    if resume and not overwrite and is_finished(experiment, out):
        return _read_metrics(out)
    check_baselines(experiment.baselines)
    prior = _load(experiment)
    problem = build_problem(experiment, prior.image_shape).to(experiment.device)
    modality = modality_of(experiment, problem)
    if words := caution(Path(experiment.prior.name).name, prior.info, modality):
        _log.warning("%s", words)
    working = prepare(experiment, out, overwrite=overwrite, resume=resume)
    try:
        metrics = _compute(experiment, problem, prior, working)
    except BaseException as error:
        error.add_note(f"finished stages are kept in {working}, --resume goes on with them")
        raise
    finish(working, out)
    return metrics


def _load(experiment: Experiment) -> LoadedPrior:
    require_device(experiment.device)
    return experiment.prior.load(experiment.device)


def _compute(
    experiment: Experiment, problem: Problem, prior: LoadedPrior, folder: Path
) -> dict[str, Any]:
    started, stages = datetime.now(UTC), Stages(folder / "stages")
    names: tuple[str, ...] = experiment.baselines
    finished: dict[str, dict[str, NDArray[Any]]] = {}
    for name in names:
        finished[name] = stages.run(f"baseline-{name}", partial(_baseline, name, problem))
        _log.info("%s: %.1f s", TITLES[name], finished[name]["seconds"])
    main = stages.run("reconstruction", partial(_sample, experiment, problem, prior))
    finished = {"": main, **finished}
    images = {n: torch.from_numpy(s["image"]).to(experiment.device) for n, s in finished.items()}
    metrics: dict[str, Any] = score(problem, images)
    for name, stage in finished.items():
        chosen = stage.keys() - {"image", "seconds"} if name else set()
        metrics |= {f"{key}_{name}": float(stage[key]) for key in chosen}
    for name, stage in finished.items():
        metrics[f"seconds_{name}" if name else "seconds"] = float(stage["seconds"])
    metrics["network_calls"] = int(main["network_calls"])
    about = provenance(experiment, problem, _described(experiment, prior))
    about |= {"started": started.isoformat(), "finished": _now()}
    write_result(folder, experiment, problem, images, main, metrics, about)
    write_report(folder)
    return metrics


def _baseline(name: str, problem: Problem) -> dict[str, NDArray[Any]]:
    image, choice = reconstruct_classically(name, problem)
    return {"image": image.cpu().numpy(), **{k: np.asarray(v) for k, v in choice.items()}}


def _sample(
    experiment: Experiment, problem: Problem, prior: LoadedPrior
) -> dict[str, NDArray[Any]]:
    calls = prior.num_calls
    trace = Trace(experiment.sampler.kind, experiment.sampler.num_steps)
    samples = experiment.sampler.build().sample(
        problem.likelihood,
        problem.denoiser(prior),
        experiment.num_samples,
        generator=derive_generator(experiment.seed, "sampler"),
        callback=trace,
    )
    trace.close()
    return {
        "image": samples.mean().cpu().numpy(),
        "std": samples.std().cpu().numpy(),
        "misfit": np.asarray(trace.misfits),
        "network_calls": np.asarray(prior.num_calls - calls),
    }


def _described(experiment: Experiment, prior: LoadedPrior) -> dict[str, Any]:
    chosen = {"top": prior.top} if isinstance(prior, RoutedPrior) else {}
    return prior.info | {"dtype": experiment.prior.dtype_on(experiment.device)} | chosen


def _read_metrics(out: Path) -> dict[str, Any]:
    import json

    metrics: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    return metrics


def _now() -> str:
    return datetime.now(UTC).isoformat()
