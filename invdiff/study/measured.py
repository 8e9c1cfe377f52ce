"""Sinograms and photon counts that come from a file."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from invdiff.likelihood import Likelihood
from invdiff.rng import derive_generator
from invdiff.study.config import Experiment
from invdiff.study.noise import GaussianConfig
from invdiff.study.problem import Problem
from invdiff.study.units import ct_units
from operators import GaussianNoise, ImageGrid, NoiseModel, TransmissionNoise

__all__ = ["sinogram_problem"]


def sinogram_problem(
    experiment: Experiment, values: NDArray[Any], shape: tuple[int, int]
) -> Problem:
    """Take an array (views, detectors) as line integrals, or as counts for transmission noise.

    Raises:
        ValueError: No pixel size, no noise level, or an array that the geometry doesn't give.
    """
    grid = experiment.input.grid
    if grid is None or grid.pixel_mm is None:
        raise ValueError(
            "input.grid: a measured sinogram needs {kind: spacing, pixel_mm: ...} of the image"
        )
    pixel_mm = (grid.pixel_mm, grid.pixel_mm)
    operator = experiment.operator.build(
        ImageGrid(shape, pixel_mm), derive_generator(experiment.seed, "mask")
    )
    noise = experiment.noise
    if noise is None:
        raise ValueError("noise: the noise of measured data must be stated")
    y = torch.from_numpy(np.asarray(values))
    if noise.kind == "transmission":
        model: NoiseModel = TransmissionNoise(noise.photons)
    elif noise.kind == "gaussian":
        model = GaussianNoise(_stated_sigma(noise, float(y.max())))
    else:
        raise ValueError("noise.kind: a measured sinogram is gaussian or transmission")
    likelihood = Likelihood(operator, model, y)
    return Problem(
        likelihood,
        ct_units(),
        likelihood.target.numpy(),
        pixel_mm,
        description=f"Measured sinogram: {experiment.operator.describe()}, {noise.describe()}",
    )


def _stated_sigma(noise: GaussianConfig, maximum: float) -> float:
    if noise.level is not None:
        return noise.level * maximum
    if isinstance(noise.sigma, float):
        return noise.sigma
    raise ValueError('noise.sigma: a measured sinogram needs a number; "estimate" is for k-space')
