"""Run the methods of a study of volumes in stages, and gather what they give."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from invdiff.data import Image
from invdiff.priors import rescale
from invdiff.rng import derive_generator
from invdiff.study.laboratory.volume_meter import Cost, CountedPrior, Meter, MeteredCheckpoints
from invdiff.study.laboratory.volume_methods import CLASSICAL, Setting, num_steps_of, reconstruct
from invdiff.study.laboratory.volume_scans import VolumeProblem, VolumeScan
from invdiff.study.laboratory.volume_scores import scores
from invdiff.study.laboratory.volume_views import View
from invdiff.study.prior import LoadedPrior
from invdiff.study.progress import Trace
from invdiff.study.scripted import Arrays
from invdiff.study.stages import Stages
from invdiff.volumes import Execution, FileCheckpoints

__all__ = ["Findings", "Run", "Runner"]


class Run(NamedTuple):
    """A method at work.

    Args:
        scan: The truth.
        task: Name of the measurement.
        name: Of the method.
        method: Its configuration.
        start: Volume that it goes on from, and what that has cost.
    """

    scan: VolumeScan
    task: str
    name: str
    method: Any
    start: tuple[Tensor, Cost] | None = None

    @property
    def title(self) -> str:
        """Name of the stage and of the files."""
        return f"{self.scan.name}_{self.task}_{self.name}"


@dataclass(frozen=True, eq=False)
class Runner:
    """Runs one after the other, each a stage that is not done twice.

    Args:
        stages: Where results are kept.
        load: Gives the prior; called if a method needs it.
        seed: Of all random numbers.
        device: Where to compute.
        every: Steps between two checkpoints.
        execution: How samplers of volumes use the machine.
    """

    stages: Stages
    load: Callable[[], LoadedPrior]
    seed: int
    device: str
    every: int
    execution: Execution | None = None

    def volume(self, run: Run, problem: VolumeProblem) -> tuple[Tensor, float, Cost]:
        """Return the volume in units of the solver, its residual over noise, and its cost."""
        result = self.stages.run(run.title, partial(self._work, run, problem))
        cost = result["cost"].tolist()
        return torch.from_numpy(result["volume"]), result["misfit"].item(), Cost(*cost)

    def _work(self, run: Run, problem: VolumeProblem) -> Arrays:
        units = run.scan.units
        prior = None
        if run.method.kind not in CLASSICAL:
            prior = CountedPrior(rescale(self.load(), units.low, units.high))
        meter = Meter(prior, self.device)
        start = None
        if run.start is not None:
            # what a method goes on from is a part of its cost
            start, meter.before = run.start
        steps = num_steps_of(run.method)
        trace = None if steps is None else Trace(run.title.replace("_", " "), steps)
        steps_folder = self.stages.folder / f"{run.title}-steps"
        setting = Setting(
            problem,
            prior,
            run.scan.placed.spacing,
            derive_generator(self.seed, "sampler", run.scan.name, run.task, run.name),
            trace,
            MeteredCheckpoints(
                FileCheckpoints(steps_folder, self._fingerprint(run), every=self.every),
                meter,
                steps_folder / "cost.jsonl",
            ),
            start,
            self.execution,
        )
        with meter.running():
            volume = reconstruct(run.method, setting)
            cost = meter.cost()
        if trace is not None:
            trace.close()
        shutil.rmtree(steps_folder, ignore_errors=True)
        return {
            "volume": volume.cpu().numpy(),
            "misfit": np.asarray(float(problem.likelihood.residual_over_noise(volume))),
            "cost": np.asarray(cost),
        }

    def _fingerprint(self, run: Run) -> dict[str, str]:
        # that the measurement is the same, the folder's config.yaml has already said
        return {"run": run.title, "method": run.method.model_dump_json(), "seed": str(self.seed)}


@dataclass(eq=False)
class Findings:
    """What has been found.

    Args:
        view: Of the scan that is drawn.
        numbers: By (method, task, scan).
        images: Volumes in the patient, by name.
        arrays: What the figures are drawn from.
    """

    view: View
    numbers: dict[tuple[str, str, str], dict[str, float]] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    arrays: Arrays = field(default_factory=dict)

    def add_truth(self, scan: VolumeScan, tasks: list[str]) -> None:
        """Take up a scan."""
        values = scan.units.values(scan.truth)
        self.images[f"{scan.name}_truth"] = scan.placed.replaced(values)
        if scan is self.view.scan:
            self.arrays.update(self.view.geometry())
            for task in tasks:
                self.arrays.update(_named(self.view.of(values), task, "truth"))

    def add(self, run: Run, volume: Tensor, misfit: float, cost: Cost) -> None:
        """Take up the volume of a method."""
        values = run.scan.units.values(volume)
        numbers = scores(run.scan, volume, misfit, cost)
        self.numbers[run.name, run.task, run.scan.name] = numbers
        self.images[run.title] = run.scan.placed.replaced(values)
        if run.scan is self.view.scan:
            self.arrays.update(_named(self.view.of(values), run.task, run.name))


def _named(arrays: Arrays, task: str, name: str) -> Arrays:
    return {f"{key}/{task}/{name}": value for key, value in arrays.items()}
