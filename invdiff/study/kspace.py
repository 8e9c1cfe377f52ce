"""Measured k-space as a problem: what is held out, coil maps, real or complex images."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from invdiff.classical import cg_sense
from invdiff.data import KSpace, crop_readout
from invdiff.likelihood import Likelihood
from invdiff.linalg import cg_iterates
from invdiff.rng import derive_generator
from invdiff.study.complex_image import body_region, imaginary_std, smooth_phase
from invdiff.study.config import Experiment
from invdiff.study.field import Centre, resized_field
from invdiff.study.forward import MRIConfig
from invdiff.study.holdout import HeldOut, Split, split_samples
from invdiff.study.noise import GaussianConfig
from invdiff.study.problem import CoilData, Problem
from invdiff.study.simulated import kspace_picture
from invdiff.study.units import relative_units
from operators import (
    CartesianMRI,
    GaussianNoise,
    Identity,
    LinearOperator,
    RealToComplex,
    calibration_region,
    espirit_maps,
    estimate_maps,
)
from operators.mri.coils import low_resolution

__all__ = ["coarse_image", "estimate_sigma", "kspace_problem", "without_oversampling"]

# conjugate gradient steps of the complex image that scale and phase are taken from
_COARSE_STEPS = 10
# residual over the first one, below which it is rounding
_SOLVED = 1e-6
# share of the sampled locations, from the edge of k-space inwards, that are taken as noise
_OUTER = 0.1
# median absolute deviation of a standard normal
_MAD = 0.6745


class _Acquired(NamedTuple):
    """Samples of all coils, which of them are used for what, and maps; in the file's units."""

    data: Tensor
    split: Split
    maps: Tensor
    sigma: float
    body: Tensor

    def likelihood(self, mask: Tensor, image_map: LinearOperator, scale: float) -> Likelihood:
        """Return that of the samples in a mask, in units of the scale."""
        operator = CartesianMRI(mask, self.maps)
        y = operator.sample(self.data) / scale
        return Likelihood(operator @ image_map, GaussianNoise(self.sigma / scale), y)


def kspace_problem(experiment: Experiment, kspace: KSpace, shape: tuple[int, int]) -> Problem:
    """Take one slice of k-space, with the coil maps estimated from its centre.

    Raises:
        ValueError: Another operator than MRI, options of a simulated scan, no noise level, or no
            fully sampled centre.
    """
    choices = experiment.operator
    if not isinstance(choices, MRIConfig):
        raise ValueError(f"operator.kind: the input is k-space, got {choices.kind}")
    choices.check_measured(experiment.input.describe())
    if experiment.input.grid is not None:
        raise ValueError("input.grid: measured k-space has its own pixels; leave it out")
    kspace = resized_field(without_oversampling(kspace), shape)
    acquired, is_complex = _acquired(experiment, kspace, choices), choices.image == "complex"
    training, place = acquired.split.training, _place(kspace)
    field = training.shape
    identity = Identity(field, complex_valued=True) if is_complex else RealToComplex(field)
    coarse = coarse_image(acquired.likelihood(training, identity, 1.0))
    units = relative_units(coarse.abs().numpy(), experiment.input.describe())
    std: Tensor | None = None
    if is_complex:
        phase = smooth_phase(coarse)
        acquired = acquired._replace(maps=acquired.maps * phase)
        std = imaginary_std(coarse * phase.conj() / units.scale)
    centre = Centre(shape, tuple(field), complex_valued=is_complex)
    image_map = identity @ centre
    padded = Centre(shape, tuple(field)).adjoint
    return Problem(
        acquired.likelihood(training, image_map, units.scale),
        units,
        kspace_picture(CartesianMRI(training, acquired.maps), acquired.data[:, training]),
        None if kspace.spacing is None else kspace.spacing[1:],
        truth=_reference(kspace, units.solver, shape, centre.frame),
        frame=centre.frame,
        placed=place,
        original=place,
        description=_description(acquired, kspace, is_complex),
        notes=_notes(acquired),
        imaginary_std=None if std is None else padded(std),
        support=padded((acquired.maps != 0).any(0).float()) > 0,
        body=padded(acquired.body.float()) > 0,
        coils=CoilData(acquired.data / units.scale, training, acquired.maps),
        held_out=_held_out(acquired, image_map, units.scale),
    )


def coarse_image(likelihood: Likelihood) -> Tensor:
    """Return the image that scale and phase are taken from."""
    if not likelihood.operator.in_complex:
        return cg_sense(likelihood)
    # with twice the unknowns few steps explain the data, and the discrepancy principle would end
    # before the phase is resolved
    iterates = cg_iterates(likelihood.weighted_normal, likelihood.weighted_adjoint, num_dims=2)
    image, first = next(iterates)
    squared = first
    for _ in range(_COARSE_STEPS):
        # one coil that is sampled throughout needs a single step, and rounding grows after it
        if bool(squared <= _SOLVED**2 * first):
            break
        image, squared = next(iterates)
    return image


def _acquired(experiment: Experiment, kspace: KSpace, choices: MRIConfig) -> _Acquired:
    data, mask = torch.from_numpy(kspace.data[0]), torch.from_numpy(kspace.mask)
    region, holdout = calibration_region(mask), experiment.input.holdout
    nothing = torch.zeros_like(mask)
    split = Split(mask, nothing, nothing)
    if holdout is not None:
        generator = derive_generator(experiment.seed, "holdout")
        split = split_samples(mask, region, holdout, generator=generator)
    used = data * split.training
    sigma = _kspace_sigma(experiment, used[:, split.training], split.training)
    # only the block is read, and nothing of it is held out
    espirit = choices.maps == "espirit"
    maps = espirit_maps(used, region).maps if espirit else estimate_maps(used, region)
    magnitude = torch.linalg.vector_norm(low_resolution(used, region), dim=0)
    return _Acquired(data, split, maps, sigma, body_region(magnitude))


def _held_out(acquired: _Acquired, image_map: LinearOperator, scale: float) -> HeldOut | None:
    _, validation, test = acquired.split
    if not test.any():
        return None
    return HeldOut(
        acquired.likelihood(test, image_map, scale),
        acquired.likelihood(validation, image_map, scale) if validation.any() else None,
        _radius(test),
    )


def estimate_sigma(y: Tensor, mask: Tensor) -> float:
    """Estimate the noise from the tenth of the samples that are farthest from the centre.

    The median absolute deviation of real and imaginary parts over 0.6745; what signal is left
    there makes it an upper bound.

    Args:
        y: Samples (coils, m) in the order of the mask.
        mask: Boolean (height, width), centred.
    """
    radius = _radius(mask)
    outer = y[:, radius >= radius.quantile(1 - _OUTER)]
    return float(torch.view_as_real(outer).abs().median()) / _MAD


def _radius(mask: Tensor) -> Tensor:
    """Return the distances from the centre in half the height and width, ``(m,)``."""
    rows, columns = (torch.arange(n).sub(n // 2).div(n / 2) for n in mask.shape)
    return torch.hypot(rows[:, None], columns[None])[mask]


def _description(acquired: _Acquired, kspace: KSpace, is_complex: bool) -> str:
    words = (
        f"Measured k-space of {kspace.num_coils} coils, {kspace.mask.mean():.1%} of it sampled, "
        f"Gaussian noise of standard deviation {acquired.sigma:.3g}"
    )
    if acquired.split.test.any():
        num_test, num_validation = (int(acquired.split[i].sum()) for i in (2, 1))
        words += (
            f"; of {int(kspace.mask.sum())} locations {num_test} are held out as a test and "
            f"{num_validation} to choose weights by, none of them in the calibration block"
        )
    return words + ("; complex image" if is_complex else "")


def _notes(acquired: _Acquired) -> dict[str, Any]:
    counts = {f"num_{name}": int(mask.sum()) for name, mask in acquired.split._asdict().items()}
    return {"noise_sigma": acquired.sigma, "kspace_locations": counts}


def _kspace_sigma(experiment: Experiment, y: Tensor, mask: Tensor) -> float:
    noise = experiment.noise
    if noise is None or not isinstance(noise, GaussianConfig) or noise.sigma is None:
        raise ValueError(
            "noise: measured k-space needs {kind: gaussian, sigma: ...} in its own unit, "
            "or sigma: estimate"
        )
    return noise.sigma if isinstance(noise.sigma, float) else estimate_sigma(y, mask)


def without_oversampling(kspace: KSpace) -> KSpace:
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
