"""Super-resolution from chosen boundary conditions, against random ones and bicubic enlargement."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, PositiveInt, StringConstraints, model_validator

from invdiff.data import list_samples
from invdiff.study.laboratory import sr_boundary_figures as figures
from invdiff.study.laboratory.sr_boundary_data import BoundaryTask, TaskPairs, task_pairs
from invdiff.study.laboratory.sr_boundary_runs import (
    SEARCHED_BY,
    BoundaryRun,
    metrics_of,
)
from invdiff.study.laboratory.sr_boundary_tables import (
    numbers_of,
    summary_of,
    tables_of,
    with_gains,
)
from invdiff.study.laboratory.sr_training_scores import decibels
from invdiff.study.scripted import Arrays, Metrics, Outcome, ScriptedStudy, Table
from invdiff.study.stages import Stages
from invdiff.superres.integrators import integrator_named
from invdiff.superres.network_prior import SuperResolutionPrior, load_super_resolution_prior

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SRBoundary"]

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$")]


class SRBoundary(ScriptedStudy):
    """Search boundary conditions on reference pairs, and judge them on other subjects.

    Args:
        tasks: What is enlarged, by name.
        size: Rows and columns of the slices.
        part: Of the references that are searched on, and of the x_T found, which is tiled.
        num_parts: How many of them there are.
        num_whole: Whole reference slices; the parts are cut from them.
        num_held_out: Slices that judge.
        num_candidates: K of the published search; all other searches get as many network calls.
        num_selected: Candidates for each image of the selection by data consistency.
        num_random: Random boundaries that all are compared with.
        num_calls: Network calls of the ODE, for each image.
        integrator: Its method.
        analytic_sigma: Noise level of the start from a matched Gaussian, in half data ranges.
        dtype: Precision of the network.
    """

    kind: Literal["sr-boundary"] = "sr-boundary"
    tasks: dict[Name, BoundaryTask] = Field(min_length=1)
    size: PositiveInt = 256
    part: PositiveInt = 32
    num_parts: PositiveInt = 96
    num_whole: PositiveInt = 12
    num_held_out: PositiveInt = 6
    num_candidates: Annotated[int, Field(ge=6)] = 60
    num_selected: PositiveInt = 4
    num_random: Annotated[int, Field(ge=2)] = 20
    num_calls: tuple[Annotated[int, Field(ge=3)], ...] = Field((5, 10, 20), min_length=1)
    integrator: str = "dpmpp_2m"
    analytic_sigma: Annotated[float, Field(ge=0.01)] = 0.5
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"

    @model_validator(mode="after")
    def _check(self) -> Self:
        integrator_named(self.integrator)
        for name, task in self.tasks.items():
            if task.fallback not in list_samples():
                known = ", ".join(list_samples())
                raise ValueError(f"tasks: {name}: expected a fallback out of {known}")
            if bool(task.references) != bool(task.held_out):
                raise ValueError(f"tasks: {name}: expected references and held_out, or neither")
            shared = {s.path for s in task.references} & {s.path for s in task.held_out}
            if shared:
                raise ValueError(f"tasks: {name}: {min(shared)} is a reference and held out")
        return self

    def compute(self, stages: Stages) -> Outcome:
        """Search, compare, and draw one slice, task by task."""
        metrics: Metrics = {}
        arrays: Arrays = {}
        # all scans are read before anything is computed
        ready = {name: self._ready(name, task) for name, task in self.tasks.items()}
        for name, (prior, pairs) in ready.items():
            metrics |= self._bicubic(name, prior, pairs)
            for calls in self.num_calls:
                run = self._run(prior, pairs, calls)
                stored = stages.run(f"{name}_{calls}", partial(self._stage, run))
                prefix = f"{name}_{calls}_"
                metrics |= {
                    prefix + key.removeprefix("number/"): float(value)
                    for key, value in stored.items()
                    if key.startswith("number/")
                }
                metrics[prefix + "seconds"] = float(stored["seconds"])
                if calls == self._drawn_calls:
                    pictures = stages.run(
                        f"{name}_pictures",
                        partial(figures.pictures_of, run, stored),
                    )
                    arrays |= {f"{name}/{key}": value for key, value in pictures.items()}
        return Outcome(metrics, arrays)

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw images and losses of each task."""
        drawn: dict[str, Figure] = {}
        for task in self.tasks:
            drawn[f"images_{task}"] = figures.images(arrays, task)
            drawn[f"losses_{task}"] = figures.losses(metrics, task, self.num_calls)
        return drawn

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        calls, captions = self._drawn_calls, {}
        for task in self.tasks:
            captions[f"images_{task}"] = (
                f"One held-out slice, a quarter of its width enlarged; {calls} network calls each. "
                "Below: the image minus the truth; under the truth, the standard deviation over "
                "random boundaries, which is what a choice of x_T takes away."
            )
            captions[f"losses_{task}"] = (
                "Held-out losses over the mean of random boundaries (1); the band is plus and "
                "minus two standard deviations of random ones. Hollow: on the references."
            )
        return captions

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return all losses, one table for each task and number of calls."""
        return tables_of(metrics, list(self.tasks), self.num_calls)

    def summary(self, metrics: Metrics) -> str:
        """Say what the search gains, and what gains more."""
        return summary_of(metrics, list(self.tasks), self.num_calls)

    @property
    def _drawn_calls(self) -> int:
        return self.num_calls[len(self.num_calls) // 2]

    def _ready(self, name: str, task: BoundaryTask) -> tuple[SuperResolutionPrior, TaskPairs]:
        prior = load_super_resolution_prior(
            task.prior,
            device=self.device,
            dtype=getattr(torch, self.dtype),
            # whole slices go one by one on a CPU; small parts are faster together
            chunk_size=max(1, (self.size // self.part) ** 2) if self.device == "cpu" else None,
        )
        counts = self.num_parts, self.num_whole, self.num_held_out
        pairs = task_pairs(
            name, task, prior, size=self.size, part=self.part, counts=counts, seed=self.seed
        )
        for side in (self.size, self.part):
            prior.check_sides((side, side))
        return prior, pairs

    def _run(self, prior: SuperResolutionPrior, pairs: TaskPairs, calls: int) -> BoundaryRun:
        return BoundaryRun(
            prior, pairs, self.integrator, calls, self.num_candidates, self.num_selected,
            self.num_random, self.analytic_sigma, self.seed,
        )  # fmt: skip

    def _stage(self, run: BoundaryRun) -> Arrays:
        shared = {
            f"{name}-{metric}": (boundary, calls)
            for metric in SEARCHED_BY
            for name, boundary, calls in run.found(metric)
        }
        numbers = numbers_of(run.compared(shared), "random")
        numbers |= numbers_of(run.compared_analytic(run.analytic_ode()), "analytic-random")
        # one call for the mean of each slice that the start was fitted on
        numbers["analytic-zero_calls_spent"] = len(run.pairs.whole.truths)
        numbers = with_gains(numbers)
        stored = {f"number/{key}": np.asarray(value) for key, value in numbers.items()}
        return stored | {f"boundary/{name}": x.cpu().numpy() for name, (x, _) in shared.items()}

    def _bicubic(self, name: str, prior: SuperResolutionPrior, pairs: TaskPairs) -> Metrics:
        y, truths = pairs.held_out
        enlarged = prior.center(y)
        metrics: Metrics = {
            f"{name}_num_held_out": len(truths),
            f"{name}_by_subject": int(pairs.by_subject),
        }
        for metric, loss in metrics_of(prior).items():
            metrics[f"{name}_bicubic_{metric}_held_out"] = float(loss(enlarged, truths).mean())
        metrics[f"{name}_bicubic_psnr"] = float(decibels(metrics[f"{name}_bicubic_mse_held_out"]))
        return metrics
