"""Volumes from a prior of slices, against slice-wise and classical reconstruction."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt, StringConstraints, model_validator
from torch import Tensor

from invdiff.data import list_samples
from invdiff.study.base import Config
from invdiff.study.config import PriorConfig
from invdiff.study.laboratory import volume_figures as figures
from invdiff.study.laboratory.volume_meter import Cost
from invdiff.study.laboratory.volume_methods import MethodConfig, check_starts, check_suits
from invdiff.study.laboratory.volume_runs import Findings, Run, Runner
from invdiff.study.laboratory.volume_scans import ScanSource, TaskConfig, measured, read_scans
from invdiff.study.laboratory.volume_scores import averaged, tables
from invdiff.study.laboratory.volume_views import View
from invdiff.study.prior import LoadedPrior
from invdiff.study.scripted import Arrays, Link, Metrics, Outcome, ScriptedStudy, Table
from invdiff.study.stages import Stages
from invdiff.study.viewer import write_viewer
from invdiff.volumes import Execution
from invdiff.volumes.storage import StorageKind

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["VolumeStudy"]

# they stand in the names of files and metrics, between underscores
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$")]


class MemoryConfig(Config):
    """What a run may take.

    Args:
        limit_mb: On the computing device, in MB (2^20 bytes); no limit by default.
        storage: Where volumes live: on the device, in the host's memory or in mapped files.
        chunk_size: Slices at a time; by default as many as the limit allows, by measurement, and
            then a resumed run may differ in rounding.
    """

    limit_mb: PositiveInt | None = None
    storage: StorageKind = "device"
    chunk_size: PositiveInt | None = None

    def build(self, folder: Path) -> Execution:
        """Return the setting, with files in a folder."""
        limit = None if self.limit_mb is None else self.limit_mb * 2**20
        disk = self.storage == "disk"
        if disk:
            folder.mkdir(parents=True, exist_ok=True)
        return Execution(limit, self.storage, folder if disk else None, chunk_size=self.chunk_size)


class VolumeStudy(ScriptedStudy):
    """Measure volumes whose truth is known, and reconstruct them by several methods.

    Args:
        scans: Whole images, axial slices.
        fallback: The sample that is read if none of the scans is there.
        slices: How many about the middle of each scan, if it has so many; or all.
        size: Rows and columns of the grid.
        pixel_mm: Edge of its pixels; by default the grid is filled with the field of view.
        tasks: What is measured, by name.
        prior: The denoiser of slices.
        methods: By name; the order is that of the report.
        checkpoint_every: Steps of a sampler of volumes between two checkpoints.
        memory: How samplers of volumes use the machine; all in one place if not given.
    """

    kind: Literal["volume"] = "volume"
    scans: tuple[ScanSource, ...] = ()
    fallback: str | None = None
    slices: Annotated[int, Field(ge=2)] | Literal["all"] = "all"
    size: PositiveInt = 128
    pixel_mm: PositiveFloat | None = None
    tasks: dict[Name, TaskConfig] = Field(min_length=1)
    prior: PriorConfig
    methods: dict[Name, MethodConfig] = Field(min_length=1)
    checkpoint_every: PositiveInt = 5
    memory: MemoryConfig | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [scan.name for scan in self.scans]
        if len(set(names)) < len(names):
            raise ValueError(f"scans: expected names that differ, got {', '.join(names)}")
        if self.fallback is not None and self.fallback not in list_samples():
            known = ", ".join(list_samples())
            raise ValueError(f"fallback: expected one of {known}, got {self.fallback!r}")
        if not self.scans and self.fallback is None:
            raise ValueError("scans: expected one, or a fallback")
        if "truth" in self.methods:
            raise ValueError("methods: truth is no name for a method")
        check_starts(self.methods)
        for task in self.tasks.values():
            for name, method in self.methods.items():
                check_suits(name, method, task.measures, task.operator.kind == "stack")
        return self

    def compute(self, stages: Stages) -> Outcome:
        """Reconstruct every scan from every measurement by every method, then compare."""
        # all scans are read before anything is computed: a bad file must not cost hours
        scans = read_scans(self.scans, self.fallback, self.slices, self.size, self.pixel_mm)
        execution = None if self.memory is None else self.memory.build(stages.folder)
        runner = Runner(
            stages,
            cache(self._load),
            self.seed,
            self.device,
            self.checkpoint_every,
            execution,
        )
        findings = Findings(View(scans[0]))
        for scan in scans:
            findings.add_truth(scan, list(self.tasks))
            for task, choices in self.tasks.items():
                problem = measured(scan, choices, self.seed, (scan.name, task), self.device)
                done: dict[str, tuple[Tensor, Cost]] = {}
                for name, method in self.methods.items():
                    run = Run(
                        scan, task, name, method, done.get(getattr(method, "start", None) or "")
                    )
                    volume, misfit, cost = runner.volume(run, problem)
                    findings.add(run, volume, misfit, cost)
                    done[name] = volume, cost
        metrics = {"num_scans": len(scans), "num_slices": sum(s.placed.num_slices for s in scans)}
        return Outcome(metrics | averaged(findings.numbers), findings.arrays, findings.images)

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw planes, errors and a line of the first scan, and the jitter of all."""
        drawn: dict[str, Figure] = {}
        names = list(self.methods)
        for task in self.tasks:
            drawn[f"planes_{task}"] = figures.planes(arrays, metrics, task, names)
            drawn[f"errors_{task}"] = figures.errors(arrays, metrics, task, names)
            drawn[f"profile_{task}"] = figures.profile(arrays, task, names)
        return drawn | {"jitter": figures.jitter(metrics, list(self.tasks), names)}

    def links(self, folder: Path) -> list[Link]:
        """Write a page for each task that shows the volumes of the first scan in the browser."""
        with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
            scan, unit, (low, high) = (arrays[key].tolist() for key in ("scan", "unit", "window"))
        links = []
        for task in self.tasks:
            names = {"truth": f"{scan}_truth"} | {n: f"{scan}_{task}_{n}" for n in self.methods}
            volumes = {n: folder / "volumes" / f"{name}.nii.gz" for n, name in names.items()}
            title, page = f"Open the volumes of {scan}, {task}", f"viewer_{task}.html"
            write_viewer(folder / page, volumes, window=(low, high), unit=unit, title=title)
            links.append(Link(title, page))
        return links

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        captions = {}
        for task, choices in self.tasks.items():
            words = choices.operator.describe()
            captions[f"planes_{task}"] = (
                f"{words}: three planes of the first scan in the proportions of the patient, "
                "anterior or the head up; below the names the mean PSNR of axial, coronal and "
                "sagittal planes over all scans. The cross and the lines mark the profile; "
                "thin stacks are enlarged about it."
            )
            captions[f"errors_{task}"] = "The same planes minus the truth, on one scale."
            captions[f"profile_{task}"] = "Values along the marked line, slice by slice."
        captions["jitter"] = "Variation from slice to slice in the body, means over the scans."
        return captions

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return all numbers."""
        tasks = {task: choices.operator.describe() for task, choices in self.tasks.items()}
        scans = [scan.name for scan in self.scans] if metrics["num_scans"] > 1 else []
        return tables(metrics, list(self.methods), tasks, scans)

    def summary(self, metrics: Metrics) -> str:
        """Say which method is best, and how steady it is from slice to slice."""
        scans, slices = metrics["num_scans"], metrics["num_slices"]
        sentences = [f"{slices} slices of {scans} scans, from simulated measurements."]
        for task in self.tasks:
            best = max(self.methods, key=lambda n: _mean_psnr(metrics, n, task))
            sentences.append(
                f"{task}: {best} has the highest PSNR over all planes, "
                f"{_mean_psnr(metrics, best, task):.2f} dB, and varies from slice to slice "
                f"{metrics[f'jitter_{best}_{task}']:.2f} times as much as the truth."
            )
        return " ".join(sentences)

    def _load(self) -> LoadedPrior:
        return self.prior.load(self.device, (self.size, self.size))


def _mean_psnr(metrics: Metrics, name: str, task: str) -> float:
    keys = (f"psnr_{plane}_{name}_{task}" for plane in ("axial", "coronal", "sagittal"))
    return float(sum(metrics[key] for key in keys)) / 3
