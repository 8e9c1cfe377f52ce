"""What is to be solved: a measurement, what its images mean, and what the result is put into."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from invdiff.data import Image
from invdiff.likelihood import Likelihood
from invdiff.priors import ComplexPrior, Denoiser, SupportedPrior, rescale
from invdiff.priors.channel_prior import ChannelPrior
from invdiff.study.holdout import HeldOut, on_device
from invdiff.study.units import Units

__all__ = ["CoilData", "Problem"]


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
        return self.units.values(self.delivered(x.abs() if x.is_complex() else x))

    def deviations(self, std: Tensor) -> NDArray[np.float32]:
        """Return standard deviations in the unit of the values, within the field of view."""
        return (self.delivered(std) * self.units.scale).float().cpu().numpy()

    def delivered(self, x: Tensor) -> Tensor:
        """Return the part of a solver image that was in the field of view."""
        return x if self.frame is None else x[(..., *self.frame)]
