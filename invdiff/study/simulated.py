"""A simulated scan of an image, whose truth is known."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from invdiff.data import Image, fill, fit, orient, to_spacing
from invdiff.likelihood import Likelihood
from invdiff.rng import derive_generator
from invdiff.study.config import Experiment, GridConfig
from invdiff.study.problem import Problem
from invdiff.study.units import Units, units_of
from operators import (
    CartesianMRI,
    Composition,
    GaussianNoise,
    ImageGrid,
    LinearOperator,
    Mask,
    PoissonGaussianNoise,
    PoissonNoise,
    RicianNoise,
)

__all__ = ["kspace_picture", "simulated_problem"]

_REFERENCES = {
    "ct-parallel": "sinogram's maximum",
    "ct-fan": "sinogram's maximum",
    "mri-cartesian": "image scale",
}


def simulated_problem(experiment: Experiment, image: Image, shape: tuple[int, int]) -> Problem:
    """Place an image on the prior's grid, measure it and add noise.

    Args:
        experiment: All choices.
        image: One slice.
        shape: Of the prior's images.

    Raises:
        ValueError: The image doesn't suit the operator, or the operator the grid.
    """
    placed = _placed(orient(image), experiment, shape[0])
    units = units_of(placed, experiment)
    pixel_mm = placed.spacing[1:]
    grid = ImageGrid(shape, pixel_mm)
    operator = experiment.operator.build(grid, derive_generator(experiment.seed, "mask"))
    truth = torch.from_numpy(units.solver(placed.values[0]))
    clean = operator(truth)
    noise = experiment.simulation_noise.build(_reference(experiment, clean, units), clean)
    if isinstance(noise, PoissonNoise | PoissonGaussianNoise):
        # rounding, and the overshoot of a resampling kernel, are no rates of counts
        clean = clean.clamp(min=0)
    y = noise.sample(clean, generator=derive_generator(experiment.seed, "noise"))
    likelihood = Likelihood(operator, noise, y)
    notes = {"noise_sigma": noise.sigma} if isinstance(noise, GaussianNoise | RicianNoise) else {}
    return Problem(
        likelihood,
        units,
        _picture(operator, likelihood),
        pixel_mm,
        truth=truth,
        placed=placed,
        original=image,
        description=_description(experiment),
        notes=notes,
    )


def _placed(image: Image, experiment: Experiment, size: int) -> Image:
    grid = experiment.input.grid or _default_grid(image)
    if grid.kind == "fill":
        return fill(image, size)
    if grid.pixel_mm is not None:
        return to_spacing(image, size, grid.pixel_mm)
    return fit(image, size)


def _default_grid(image: Image) -> GridConfig:
    if image.unit == "HU":
        return GridConfig(kind="fill")
    return GridConfig(kind="spacing", pixel_mm=1.0)


def _reference(experiment: Experiment, clean: Tensor, units: Units) -> float:
    """Return what a noise level is relative to."""
    if experiment.operator.kind.startswith("ct-"):
        return float(clean.max())
    return units.high - units.low


def _description(experiment: Experiment) -> str:
    noise = experiment.simulation_noise
    relative = noise.kind in ("gaussian", "rician")
    unit = _REFERENCES.get(experiment.operator.kind, "image range") if relative else ""
    words = f"Simulated measurement: {experiment.operator.describe()}, {noise.describe()}"
    return f"{words} the {unit}" if relative else words


def _picture(operator: LinearOperator, likelihood: Likelihood) -> NDArray[np.float32]:
    outer = operator.outer if isinstance(operator, Composition) else operator
    if isinstance(outer, CartesianMRI):
        return kspace_picture(outer, likelihood.y)
    if isinstance(operator, Mask):
        picture = torch.full(operator.in_shape, float("nan"))
        picture[operator.mask] = likelihood.y
        return picture.numpy()
    return likelihood.target.numpy()


def kspace_picture(operator: CartesianMRI, y: Tensor) -> NDArray[np.float32]:
    """Return log10 of the magnitude of all coils together; NaN where not sampled."""
    magnitude = torch.linalg.vector_norm(operator.zero_filled(y), dim=-3)
    floor = magnitude.max() / 1e4
    picture = magnitude.clamp(min=floor).log10()
    return torch.where(operator.mask, picture, torch.nan).numpy()
