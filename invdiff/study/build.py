"""From an experiment to its problem: read, choose a slice, measure; what is wrong is found out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from invdiff.data import Array, Image, KSpace, read_scan, sample_path
from invdiff.study.config import Experiment
from invdiff.study.forward import MRIConfig
from invdiff.study.kspace import kspace_problem
from invdiff.study.measured import sinogram_problem
from invdiff.study.problem import Problem
from invdiff.study.simulated import simulated_problem
from invdiff.study.units import check_hu

__all__ = ["build_problem"]


def build_problem(experiment: Experiment, image_shape: tuple[int, ...] | None) -> Problem:
    """Read the input, and simulate its scan if it is an image.

    Args:
        experiment: All choices.
        image_shape: Of the prior; two channels are complex images.

    Raises:
        ValueError: One line: what cannot be read, measured or reconstructed.
    """
    shape = _checked_shape(experiment, image_shape)
    scan = _read(experiment)
    if isinstance(scan, Image):
        # of all slices: one may be air throughout
        check_hu(scan, experiment.input.describe())
    if experiment.input.holdout is not None and not isinstance(scan, KSpace):
        raise ValueError("input.holdout: is for measured k-space")
    if isinstance(scan, KSpace):
        return kspace_problem(experiment, _slice(scan, experiment), shape)
    if isinstance(scan, Image):
        return simulated_problem(experiment, _slice(scan, experiment), shape)
    if experiment.operator.kind.startswith("ct-"):
        return sinogram_problem(experiment, scan.values, shape)
    return simulated_problem(experiment, _image_of(scan), shape)


def _slice(scan: Image | KSpace, experiment: Experiment) -> Any:
    """Return one slice of an image or of k-space."""
    index = experiment.input.slice
    if index == "middle":
        return scan.middle()
    if index >= scan.num_slices:
        raise ValueError(f"input.slice: expected 0 to {scan.num_slices - 1}, got {index}")
    return scan.slice(index)


def _checked_shape(experiment: Experiment, image_shape: tuple[int, ...] | None) -> tuple[int, int]:
    if image_shape is not None and len(image_shape) == 3 and image_shape[0] == 2:
        operator = experiment.operator
        if not isinstance(operator, MRIConfig) or operator.image != "complex":
            raise ValueError(
                "prior.name: a prior of complex images (two channels) is for mri-cartesian with "
                "operator.image: complex"
            )
        image_shape = image_shape[1:]
    if image_shape is None or len(image_shape) != 2 or image_shape[0] != image_shape[1]:
        raise ValueError(
            f"prior.name: expected a prior of square grey images, got shape {image_shape}"
        )
    grid = experiment.input.grid
    if grid is not None and grid.size not in (None, image_shape[0]):
        raise ValueError(
            f"input.grid.size: got {grid.size}, the prior {Path(experiment.prior.name).name} "
            f"has images of {image_shape[0]} x {image_shape[1]}"
        )
    return image_shape[0], image_shape[1]


def _read(experiment: Experiment) -> Image | KSpace | Array:
    source = experiment.input
    path = sample_path(source.sample) if source.sample is not None else Path(str(source.path))
    return read_scan(path, modality=source.modality, key=source.key)


def _image_of(array: Array) -> Image:
    values = array.values
    if values.ndim == 2 and values.dtype == np.float32:
        # no geometry: the affine only has to be one
        return Image(values=values[None], affine=np.eye(4), source=array.source)
    if values.ndim == 2 and values.dtype.kind == "c":
        rows, columns = values.shape
        raise ValueError(
            f"{array.source}: expected k-space with an axis of coils, got {values.dtype} of shape "
            f"{values.shape}: add the axis, (1, {rows}, {columns}) for a single coil"
        )
    raise ValueError(
        f"{array.source}: expected a real image (rows, columns), got {values.dtype} of shape "
        f"{values.shape}"
    )
