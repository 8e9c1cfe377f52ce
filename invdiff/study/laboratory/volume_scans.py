"""The scans of a study of volumes: read, placed on the grid, measured by simulation."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import PositiveFloat, PositiveInt, field_validator
from torch import Tensor

from invdiff.data import Image, list_samples, read_scan, sample_path
from invdiff.likelihood import Likelihood
from invdiff.rng import derive_generator
from invdiff.study.base import Config
from invdiff.study.holdout import on_device
from invdiff.study.noise import GaussianConfig, NoiseConfig
from invdiff.study.units import Units, placed_slices
from invdiff.study.volume_operators import VolumeOperatorConfig
from operators import SliceStack, VolumeGrid

__all__ = ["ScanSource", "TaskConfig", "VolumeProblem", "VolumeScan", "measured", "read_scans"]

_log = logging.getLogger(__name__)

_Z = 2


class ScanSource(Config):
    """A whole image: a DICOM series or a NIfTI file of axial slices.

    Args:
        path: Where it is.
        modality: What a NIfTI file holds, which doesn't say it.
    """

    path: str
    modality: Literal["CT", "MR", "other"] | None = None

    @property
    def name(self) -> str:
        """Name of the file or folder, as it can stand in the name of a metric."""
        return re.sub(r"[^A-Za-z0-9-]+", "-", Path(self.path).name.split(".")[0]).strip("-")


class TaskConfig(Config):
    """What is measured of the volumes, and how it scatters."""

    operator: VolumeOperatorConfig
    noise: NoiseConfig = GaussianConfig(level=0.005)

    @property
    def measures(self) -> str:
        """Kind of the operator: of one slice, where it is a stack."""
        operator: Any = self.operator
        return str(operator.operator.kind if operator.kind == "stack" else operator.kind)

    @field_validator("noise")
    @classmethod
    def _check_noise(cls, noise: Any) -> Any:
        if noise.kind != "gaussian" or noise.level is None:
            raise ValueError("expected Gaussian noise of a level")
        return noise


@dataclass(frozen=True, eq=False)
class VolumeScan:
    """A volume whose truth is known.

    Args:
        name: Of the scan.
        original: The slices as they were read.
        placed: The same on the grid of the study, axial slices in radiological view.
        units: What the numbers of the solver mean.
    """

    name: str
    original: Image
    placed: Image
    units: Units

    @property
    def truth(self) -> Tensor:
        """The volume in units of the solver, (slices, rows, columns)."""
        return torch.from_numpy(self.units.solver(self.placed.values))


@dataclass(frozen=True, eq=False)
class VolumeProblem:
    """A measured volume.

    Args:
        likelihood: Of the volume.
        slices: The same as a batch of problems, one a slice; None where slices are measured
            together.
    """

    likelihood: Likelihood
    slices: Likelihood | None


def read_scans(
    sources: Sequence[ScanSource],
    fallback: str | None,
    slices: PositiveInt | Literal["all"],
    size: int,
    pixel_mm: PositiveFloat | None,
) -> list[VolumeScan]:
    """Read the scans, or the shipped sample if none of them is there.

    Args:
        sources: Files and folders.
        fallback: Sample that is read if none of the sources exists; None refuses then.
        slices: How many about the middle, if there are so many.
        size: Rows and columns of the grid.
        pixel_mm: Edge of its pixels about the centre; None fills the grid with the field of view.

    Raises:
        ValueError: One line: what is missing or cannot be used.
    """
    missing = [s for s in sources if not Path(s.path).exists()]
    if len(missing) == len(sources) and fallback is not None:
        if sources:
            _log.warning("no scan is there: the sample %s is used in their place", fallback)
        read = {fallback: read_scan(sample_path(fallback))}
    elif missing:
        hint = f"; the samples that ship are {', '.join(list_samples())}" if not fallback else ""
        raise ValueError(f"scans: {missing[0].path}: no such file or folder{hint}")
    else:
        read = {s.name: read_scan(s.path, modality=s.modality) for s in sources}
    return [_prepared(name, scan, slices, size, pixel_mm) for name, scan in read.items()]


def measured(
    scan: VolumeScan, task: TaskConfig, seed: int, names: tuple[str, str], device: str
) -> VolumeProblem:
    """Simulate the measurement of a volume.

    Args:
        scan: The truth.
        task: The measurement.
        seed: Of mask and noise.
        names: Of the scan and of the task; each pair has noise of its own, each task one mask.
        device: Where it is solved.
    """
    truth = scan.truth
    slices, rows, columns = truth.shape
    grid = VolumeGrid((slices, rows, columns), scan.placed.spacing)
    operator = task.operator.build(grid, derive_generator(seed, "mask", names[1]))
    clean = operator(truth)
    reference = scan.units.high - scan.units.low
    if task.measures.startswith("ct-"):
        reference = float(clean.max())
    noise = task.noise.build(reference, clean)
    y = noise.sample(clean, generator=derive_generator(seed, "noise", *names))
    whole = on_device(Likelihood(operator, noise, y), device)
    stack = whole.operator
    apart = Likelihood(stack.operator, noise, whole.y) if isinstance(stack, SliceStack) else None
    return VolumeProblem(whole, apart)


def _prepared(
    name: str,
    scan: Any,
    slices: int | Literal["all"],
    size: int,
    pixel_mm: float | None,
) -> VolumeScan:
    if not isinstance(scan, Image):
        raise ValueError(f"scans: {name}: expected an image, whose scan is simulated")
    _check_axial(name, scan)
    original = scan if slices == "all" else _middle(scan, min(slices, scan.num_slices))
    placed, units = placed_slices(original, size, pixel_mm, name)
    return VolumeScan(name, original, placed, units)


def _check_axial(name: str, image: Image) -> None:
    across = np.cross(image.affine[:3, 0], image.affine[:3, 1])
    if int(np.argmax(np.abs(across))) != _Z or image.num_slices < 2:
        raise ValueError(f"scans: {name}: expected a stack of two axial slices or more")


def _middle(image: Image, count: int) -> Image:
    first = (image.num_slices - count) // 2
    affine = image.affine.copy()
    affine[:, 3] += first * affine[:, 2]
    template = image.template
    if isinstance(template, tuple) and len(template) == image.num_slices:
        template = template[first : first + count]
    values = image.values[first : first + count]
    return dataclasses.replace(image, values=values, affine=affine, template=template)
