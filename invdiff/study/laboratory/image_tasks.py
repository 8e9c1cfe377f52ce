"""Five problems on small whole slices that a shipped prior has never seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from invdiff.data import Image, read_scan, sample_path
from invdiff.likelihood import Likelihood
from invdiff.rng import derive_generator
from invdiff.study.units import placed_slices
from operators import (
    Blur,
    Downsample,
    GaussianNoise,
    ImageGrid,
    LinearOperator,
    Mask,
    Matrix,
    ParallelBeam2D,
    ParallelGeometry,
    gaussian_psf,
)
from operators.testing import to_dense

__all__ = [
    "SLICE_SIZE",
    "TASKS",
    "Task",
    "image_problem",
    "measurement_picture",
    "moved",
    "small_slices",
]

Task = Literal["box", "random", "blur", "sr4", "ct"]

TASKS: tuple[Task, ...] = get_args(Task)
# rows and columns of the whole slice, on the grid that the priors were trained on
SLICE_SIZE = 256
_MR_PIXEL_MM = 1.0
_VIEWS_PER_PIXEL = 12 / 64
_LARGEST_DENSE = 64


def small_slices(sample: str, size: int) -> Tensor:
    """Return the slices of a shipped series from 0 to 1 on a coarser grid, (slices, size, size).

    Whole slices with averaged pixels: a network that was trained on whole slices is lost on
    crops of them, where it looks for air around the patient.

    Args:
        sample: A DICOM series of ``list_samples()``.
        size: Rows and columns, a divisor of 256.
    """
    image = read_scan(sample_path(sample))
    if not isinstance(image, Image):
        raise ValueError(f"sample: expected a series of slices, {sample} holds none")
    pixel_mm = None if image.unit == "HU" else _MR_PIXEL_MM
    image, units = placed_slices(image, SLICE_SIZE, pixel_mm, sample)
    x = torch.from_numpy(units.relative(image.values))
    factor = SLICE_SIZE // size
    blocks = x.reshape(-1, size, factor, size, factor)
    return blocks.mean((-3, -1))


def image_problem(task: Task, truth: Tensor, noise_level: float, seed: int) -> Likelihood:
    """Measure slices (slices, size, size) with white noise.

    Args:
        task: Which measurement.
        truth: Images from 0 to 1.
        noise_level: Standard deviation over the range of the image; for CT over a tenth of the
            line integral of the brightest value along an edge of the image.
        seed: Of the mask and the noise.
    """
    operator = _OPERATORS[task](truth.shape[-1], derive_generator(seed, task, "mask"))
    reference = truth.shape[-1] / 10 if task == "ct" else 1.0
    noise = GaussianNoise(noise_level * reference)
    # one stream per slice, so that a slice has the same noise whichever are studied beside it
    y = [
        noise.sample(clean, generator=derive_generator(seed, task, "noise"))
        for clean in operator(truth)
    ]
    return Likelihood(operator, noise, torch.stack(y))


def moved(likelihood: Likelihood, device: str) -> Likelihood:
    """Return the same problems on another device."""
    return Likelihood(likelihood.operator.to(device), likelihood.noise, likelihood.y.to(device))


def measurement_picture(likelihood: Likelihood) -> Tensor:
    """Return the first measurement as an image; NaN where a pixel was not measured."""
    y, operator = likelihood.y[0], likelihood.operator
    if not isinstance(operator, Mask):
        return y
    picture = torch.full(operator.in_shape, torch.nan)
    picture[operator.mask] = y
    return picture


def _box(size: int, generator: torch.Generator) -> LinearOperator:
    mask = torch.ones(size, size, dtype=torch.bool)
    hole = slice(3 * size // 8, 5 * size // 8)
    mask[hole, hole] = False
    return Mask(mask)


def _random(size: int, generator: torch.Generator) -> LinearOperator:
    return Mask(torch.rand(size, size, generator=generator) < 0.3)


def _blur(size: int, generator: torch.Generator) -> LinearOperator:
    return Blur(gaussian_psf(1.5, 13), (size, size))


def _downsample(size: int, generator: torch.Generator) -> LinearOperator:
    return Downsample((size, size), 4, "bicubic")


def _sparse_views(size: int, generator: torch.Generator) -> LinearOperator:
    grid = ImageGrid((size, size), (1.0, 1.0))
    views = max(1, round(_VIEWS_PER_PIXEL * size))
    scan = ParallelBeam2D(grid, ParallelGeometry.covering(grid, views, math.pi))
    if size > _LARGEST_DENSE:
        return scan
    # some methods need the singular value decomposition
    return Matrix(to_dense(scan), scan.in_shape, scan.out_shape)


_OPERATORS: dict[Task, Callable[[int, torch.Generator], LinearOperator]] = {
    "box": _box,
    "random": _random,
    "blur": _blur,
    "sr4": _downsample,
    "ct": _sparse_views,
}
