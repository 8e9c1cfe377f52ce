"""From an experiment to what is to be solved, with everything that can be wrong found out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from invdiff.data import Array, Image, KSpace, read_scan, sample_path
from invdiff.likelihood import Likelihood
from invdiff.priors import ComplexPrior, Denoiser, SupportedPrior, rescale
from invdiff.priors.channel_prior import ChannelPrior
from invdiff.study.config import Experiment
from invdiff.study.forward import MRIConfig
from invdiff.study.holdout import HeldOut, on_device
from invdiff.study.units import Units

__all__ = ["CoilData", "Problem", "build_problem", "chosen_slice"]


@dataclass(frozen=True, eq=False)
class CoilData:
    """Measured k-space for packages that bring their own operators, on the CPU.

    Args:
        kspace: Complex (coils, height, width), in solver units.
        mask: Boolean (height, width): what may be used of it.
        maps: Complex (coils, height, width).
    """

    kspace: Tensor
    mask: Tensor
    maps: Tensor


@dataclass(frozen=True, eq=False)
class Problem:
    """One slice to be reconstructed.

    Args:
        likelihood: In solver units, see ``Units``.
        units: What its images mean.
        picture: The measurement as a picture (rows, columns), NaN where nothing was measured.
        pixel_mm: Size of an image pixel (rows, columns); None if unknown.
        truth: The image that a scan was simulated of, in solver units, or a reference.
        frame: Rows and columns of the image that were in the field of view; all if None.
        placed: An image on the solver's grid in the patient, to put the result into.
        original: The input's slice, on whose grid the result is written.
        description: What was measured and how it scatters, in words.
        notes: Numbers that the provenance holds.
        imaginary_std: Of the image per pixel, in solver units; None if it is real.
        support: Pixels that the measurement sees; all if None.
        body: Pixels in which there is a body; None if unknown.
        coils: Of measured k-space.
        held_out: Samples that no method sees.
    """

    likelihood: Likelihood
    units: Units
    picture: NDArray[np.float32]
    pixel_mm: tuple[float, float] | None
    truth: Tensor | None = None
    frame: tuple[slice, slice] | None = None
    placed: Image | None = None
    original: Image | None = None
    description: str = ""
    notes: dict[str, Any] = field(default_factory=dict)
    imaginary_std: Tensor | None = None
    support: Tensor | None = None
    body: Tensor | None = None
    coils: CoilData | None = None
    held_out: HeldOut | None = None

    def to(self, device: str) -> Problem:
        """Return the problem with operator, measurement and truth on a device."""
        if device == "cpu":
            return self
        return dataclasses.replace(
            self,
            likelihood=on_device(self.likelihood, device),
            truth=None if self.truth is None else self.truth.to(device),
            held_out=None if self.held_out is None else self.held_out.to(device),
        )

    def denoiser(self, prior: Denoiser) -> Denoiser:
        """Return a prior as one of this problem's images, complex by its channels or by a model."""
        in_channels = len(prior.image_shape or ()) == 3
        known = ChannelPrior(prior) if in_channels else prior
        denoiser: Denoiser = rescale(known, self.units.low, self.units.high)
        if self.imaginary_std is not None and not in_channels:
            denoiser = ComplexPrior(denoiser, self.imaginary_std)
        return denoiser if self.support is None else SupportedPrior(denoiser, self.support)

    def values(self, x: Tensor) -> NDArray[np.float32]:
        """Return the values of a solver image within the field of view, magnitudes if complex."""
        x = x.abs() if x.is_complex() else x
        return self.units.values(x if self.frame is None else x[(..., *self.frame)])


def build_problem(experiment: Experiment, image_shape: tuple[int, ...] | None) -> Problem:
    """Read the input, and simulate its scan if it is an image.

    Args:
        experiment: All choices.
        image_shape: Of the prior; two channels are complex images.

    Raises:
        ValueError: One line: what cannot be read, measured or reconstructed.
    """
    from invdiff.study.kspace import kspace_problem
    from invdiff.study.measured import sinogram_problem
    from invdiff.study.simulated import simulated_problem

    shape = _checked_shape(experiment, image_shape)
    scan = _read(experiment)
    if experiment.input.holdout is not None and not isinstance(scan, KSpace):
        raise ValueError("input.holdout: is for measured k-space")
    if isinstance(scan, KSpace):
        return kspace_problem(experiment, chosen_slice(scan, experiment), shape)
    if isinstance(scan, Image):
        return simulated_problem(experiment, chosen_slice(scan, experiment), shape)
    if experiment.operator.kind.startswith("ct-"):
        return sinogram_problem(experiment, scan.values, shape)
    return simulated_problem(experiment, _image_of(scan), shape)


def chosen_slice(scan: Any, experiment: Experiment) -> Any:
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
    raise ValueError(
        f"{array.source}: expected a real image (rows, columns), got {values.dtype} of shape "
        f"{values.shape}"
    )
