"""Draw CT slices in few network calls: a flow, a smaller straight one, and a single call."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import nn

from invdiff.interpolants.image_field import ImageField
from invdiff.study.base import SampleName
from invdiff.study.laboratory import few_step_figures as figures
from invdiff.study.laboratory import few_step_tables as tables
from invdiff.study.laboratory.few_step_config import (
    OneStepConfig,
    ReconstructionConfig,
    StudentConfig,
    TeacherConfig,
)
from invdiff.study.laboratory.few_step_measures import distances, flow_scores
from invdiff.study.laboratory.few_step_reconstruction import METHODS, FewViews, few_view_means
from invdiff.study.laboratory.few_step_runs import FewStepRuns
from invdiff.study.laboratory.interpolant_bridge_data import read_slices
from invdiff.study.laboratory.volume_scans import ScanSource
from invdiff.study.scripted import Arrays, Metrics, Outcome, ScriptedStudy, Table
from invdiff.study.slices import SliceSource, SplitConfig, spread_rows
from invdiff.study.stages import Stages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FewStep"]

_NUM_SHOWN = 8


class FewStep(ScriptedStudy):
    """Train a flow, reflow it into a smaller network, distil that, and compare what they draw.

    Args:
        slices: What is learnt from.
        scans: Of other subjects, which judge it.
        fallback: The sample that takes the place of what isn't there.
        holdout: Which slices judge it if there are no scans.
        size: Rows and columns.
        num_heldout: Slices it is judged on.
        teacher: The flow of independent ends.
        num_pairs: Pairs it makes.
        pair_steps: Of Heun's method, two calls each.
        student: The straightened flow.
        plain: Whether a student is also trained without annealing, with the same settings.
        one_step: The distillation.
        calls: Network calls of a sample of the flows, increasing from 1.
        num_samples: Samples of each.
        num_components: Main components of the training slices that distances are measured in.
        sigmas: Noise of the denoising, in units of the image.
        reconstruction: Of held-out slices from few views; None to leave it out.
    """

    kind: Literal["few-step"] = "few-step"
    slices: SliceSource
    scans: tuple[ScanSource, ...] = ()
    fallback: SampleName | None = None
    holdout: SplitConfig = SplitConfig()
    size: PositiveInt = 64
    num_heldout: Annotated[int, Field(ge=2)] = 200
    teacher: TeacherConfig = TeacherConfig()
    num_pairs: PositiveInt = 2000
    pair_steps: PositiveInt = 16
    student: StudentConfig = StudentConfig()
    plain: bool = True
    one_step: OneStepConfig = OneStepConfig()
    calls: tuple[PositiveInt, ...] = Field(default=(1, 2, 4, 16), min_length=1)
    num_samples: Annotated[int, Field(ge=2)] = 256
    num_components: PositiveInt = 32
    sigmas: tuple[PositiveFloat, ...] = (0.05, 0.2)
    reconstruction: ReconstructionConfig | None = None

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        for name, unit in (("teacher", self.teacher.unit), ("student", self.student.unit)):
            if self.size % unit:
                raise ValueError(
                    f"size: expected a multiple of {unit} for the {name}, got {self.size}"
                )
        if self.calls[0] != 1 or list(self.calls) != sorted(set(self.calls)):
            raise ValueError(f"calls: expected increasing numbers from 1, got {self.calls}")
        return self

    def compute(self, stages: Stages) -> Outcome:
        """Train, one network after the other, then draw and measure."""
        data = read_slices(
            self.slices, self.scans, self.holdout, self.fallback, self.size, self.num_heldout
        )
        training, heldout = data.training.to(self.device), data.heldout.to(self.device)
        middle, spread = float(training.mean()), float(training.std())
        runs = FewStepRuns((training - middle) / spread, self.seed, stages.folder)
        arrays, fields = self._trained(stages, runs)
        samples: Arrays = {}
        for name, field in fields.items():
            calls = (1,) if name == "one_step" else self.calls
            found = stages.run(
                f"samples_{name}", partial(runs.samples, field, self.num_samples, calls)
            )
            samples |= {f"{name}_{key}": value for key, value in found.items()}
        images = {
            name: torch.from_numpy(samples[name]) * spread + middle
            for name in (f"{flow}_{n}" for flow in fields for n in self.calls)
            if name in samples
        }
        metrics = self._counts(data.by_subject, len(training), len(heldout), arrays)
        metrics |= {f"seconds_{n}": float(samples[f"{n}/seconds"]) for n in images}
        metrics |= distances(images, training.cpu(), heldout.cpu(), self.num_components, runs)
        flows = {name: field for name, field in fields.items() if name != "one_step"}
        metrics |= flow_scores(flows, runs, (heldout - middle) / spread, spread, self.sigmas)
        most = min(_NUM_SHOWN, self.num_samples)
        shown = {"real": heldout[spread_rows(len(heldout), most)].cpu()} | images
        pictures = {f"shown/{n}": v[: len(shown["real"])].numpy() for n, v in shown.items()}
        if self.reconstruction is not None:
            rows = spread_rows(len(heldout), self.reconstruction.num_slices)
            views = FewViews(
                self.reconstruction, training, heldout[rows], middle, spread, self.seed
            )
            compare = partial(views.compare, fields["teacher"], fields["one_step"])
            found = stages.run("reconstruction", compare)
            metrics |= few_view_means(found)
            pictures |= {f"rebuilt/{name}": found[f"{name}/images"] for name in METHODS}
            pictures["rebuilt/truth"] = views.truth.cpu().numpy()
        losses = {name: value for name, value in arrays.items() if name.startswith("loss/")}
        return Outcome(metrics, losses | pictures)

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw slices, distances and losses."""
        names = tables.names(self.plain)
        rows = {"real": "held-out slices"} | {
            f"{name}_{n}": f"{names[name]}, {n} call{'s' * (n > 1)}"
            for name in names
            for n in self.calls
            if f"shown/{name}_{n}" in arrays
        }
        drawn = {
            "pictures": figures.pictures(figures.under(arrays, "shown"), rows),
            "distances": figures.distances(metrics, self.calls, names),
            "losses": figures.losses(arrays, names),
        }
        if self.reconstruction is not None:
            rows = {"truth": "held-out slices"} | METHODS
            drawn["few_views"] = figures.pictures(figures.under(arrays, "rebuilt"), rows)
        return drawn

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        captions = {
            "pictures": "Not chosen: the first samples of each network, from the same noise in "
            "each column, and held-out slices, in one grey window.",
            "distances": f"Energy distance in {self.num_components} main components of the "
            "training slices, to some of them, in standard deviations of a pixel. The dotted line "
            "is that of other training slices: less than it cannot be asked of any network.",
            "losses": "Loss of each step (grey) and its mean. That of a flow is without a "
            "constant and may be negative; while annealing goes on the task itself changes.",
        }
        if self.reconstruction is not None:
            captions["few_views"] = (
                f"Held-out slices from {self.reconstruction.views} views. The last row is the best "
                "of what the one-step generator can draw: a slice that it can't draw is never "
                "found, however good the data."
            )
        return captions

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return distances, and what is known of each network."""
        found = [
            tables.distances(metrics, self.calls, self.plain),
            tables.networks(metrics, self.plain, self.sigmas),
        ]
        if self.reconstruction is not None:
            found.append(tables.few_views(metrics, METHODS, self.reconstruction.views))
        return found

    def summary(self, metrics: Metrics) -> str:
        """Say what was trained and what was found."""
        return tables.summary(metrics, self.size, self.calls[-1], self.plain)

    def _trained(self, stages: Stages, runs: FewStepRuns) -> tuple[Arrays, dict[str, ImageField]]:
        """Return losses, sizes and seconds of all trainings, and the fields."""
        kept: Arrays = {}
        fields: dict[str, ImageField] = {}

        def keep(name: str, config: TeacherConfig, trained: Arrays) -> nn.Module:
            fields[name], network = runs.field(config, trained)
            # the stage is written: its training need not go on
            runs.state(name).unlink(missing_ok=True)
            kept[f"loss/{name}"] = trained["loss"]
            kept[f"training_seconds/{name}"] = trained["seconds"]
            kept[f"parameters/{name}"] = np.asarray(sum(p.numel() for p in network.parameters()))
            return network

        keep("teacher", self.teacher, stages.run("teacher", partial(runs.teacher, self.teacher)))
        make = partial(runs.pairs, fields["teacher"], self.num_pairs, self.pair_steps)
        pairs = stages.run("pairs", make)
        kept["training_seconds/pairs"] = pairs["seconds"]
        schedule = self.student.schedule
        if self.plain:
            train = partial(runs.student, self.student, pairs, type(schedule)(0), "plain")
            keep("plain", self.student, stages.run("plain", train))
        anneal = partial(runs.student, self.student, pairs, schedule, "student")
        trained = stages.run("student", anneal)
        student = keep("student", self.student, trained)
        # of the student's size and with its weights, but free to change
        network = runs.field(self.student, trained)[1].requires_grad_()
        distil = partial(runs.one_step, self.one_step, network, student, pairs)
        keep("one_step", self.student, stages.run("one_step", distil))
        return kept, fields

    def _counts(self, by_subject: bool, training: int, heldout: int, kept: Arrays) -> Metrics:
        numbers = {"by_subject": int(by_subject), "num_training": training, "num_heldout": heldout}
        return numbers | {
            name.replace("/", "_"): float(value) for name, value in kept.items() if not value.ndim
        }
