"""Measurements that come from a file: sinograms, photon counts, k-space."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from invdiff.classical import cg_sense
from invdiff.data import KSpace, crop_readout
from invdiff.likelihood import Likelihood
from invdiff.rng import derive_generator
from invdiff.study.config import Experiment
from invdiff.study.field import Centre, resized_field
from invdiff.study.noise import GaussianConfig
from invdiff.study.problem import Problem
from invdiff.study.simulated import kspace_picture
from invdiff.study.units import ct_units, relative_units
from operators import (
    CartesianMRI,
    GaussianNoise,
    ImageGrid,
    LinearOperator,
    RealToComplex,
    TransmissionNoise,
    calibration_region,
    estimate_maps,
)

__all__ = ["estimate_sigma", "kspace_problem", "sinogram_problem"]

# share of the sampled locations, from the edge of k-space inwards, that are taken as noise
_OUTER = 0.1
# median absolute deviation of a standard normal
_MAD = 0.6745


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
        model: Any = TransmissionNoise(noise.photons)
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


def kspace_problem(experiment: Experiment, kspace: KSpace, shape: tuple[int, int]) -> Problem:
    """Take one slice of k-space, with the coil maps estimated from its centre.

    Raises:
        ValueError: Another operator than MRI, no noise level, or no fully sampled centre.
    """
    if experiment.operator.kind != "mri-cartesian":
        raise ValueError(f"operator.kind: the input is k-space, got {experiment.operator.kind}")
    kspace = resized_field(_without_oversampling(kspace), shape)
    data, mask = torch.from_numpy(kspace.data[0]), torch.from_numpy(kspace.mask)
    sense = CartesianMRI(mask, estimate_maps(data, calibration_region(mask)))
    y = sense.sample(data)
    sigma = _kspace_sigma(experiment, y, mask)
    embed = RealToComplex(mask.shape)
    image = cg_sense(Likelihood(sense @ embed, GaussianNoise(sigma), y))
    units = relative_units(image.numpy(), experiment.input.describe())
    operator: LinearOperator = sense @ (embed @ Centre(shape, tuple(mask.shape)))
    likelihood = Likelihood(operator, GaussianNoise(sigma / units.scale), y / units.scale)
    frame = Centre(shape, tuple(mask.shape)).frame
    return Problem(
        likelihood,
        units,
        kspace_picture(sense, y),
        None if kspace.spacing is None else kspace.spacing[1:],
        truth=_reference(kspace, units.solver, shape, frame),
        frame=frame,
        placed=_place(kspace),
        original=_place(kspace),
        description=(
            f"Measured k-space of {kspace.num_coils} coils, {float(mask.float().mean()):.1%} of it "
            f"sampled, Gaussian noise of standard deviation {sigma:.3g}"
        ),
        notes={"noise_sigma": sigma},
    )


def estimate_sigma(y: Tensor, mask: Tensor) -> float:
    """Estimate the noise from the tenth of the samples that are farthest from the centre.

    The median absolute deviation of real and imaginary parts over 0.6745; what signal is left
    there makes it an upper bound.

    Args:
        y: Samples (coils, m) in the order of the mask.
        mask: Boolean (height, width), centred.
    """
    rows, columns = (torch.arange(n).sub(n // 2).div(n / 2) for n in mask.shape)
    radius = torch.hypot(rows[:, None], columns[None])[mask]
    outer = y[:, radius >= radius.quantile(1 - _OUTER)]
    return float(torch.view_as_real(outer).abs().median()) / _MAD


def _kspace_sigma(experiment: Experiment, y: Tensor, mask: Tensor) -> float:
    noise = experiment.noise
    if noise is None or not isinstance(noise, GaussianConfig) or noise.sigma is None:
        raise ValueError(
            "noise: measured k-space needs {kind: gaussian, sigma: ...} in its own unit, "
            "or sigma: estimate"
        )
    return noise.sigma if isinstance(noise.sigma, float) else estimate_sigma(y, mask)


def _without_oversampling(kspace: KSpace) -> KSpace:
    """Remove what scanners measure beyond the image along the readout."""
    if kspace.reference is None or kspace.reference.shape[1] >= kspace.mask.shape[0]:
        return kspace
    return crop_readout(kspace, kspace.reference.shape[1])


def _reference(kspace: KSpace, solver: Any, shape: tuple[int, int], frame: Any) -> Tensor | None:
    """Return the file's own image on the solver's grid, if it has the pixels of k-space."""
    reference = kspace.reference
    if reference is None or reference.shape[1:] != kspace.mask.shape:
        return None
    truth = torch.zeros(shape)
    truth[frame] = torch.from_numpy(solver(reference[0]))
    return truth


def _place(kspace: KSpace) -> Any:
    if kspace.affine is None and kspace.spacing is None:
        return None
    return kspace.image(np.zeros((1, *kspace.mask.shape), np.float32))
