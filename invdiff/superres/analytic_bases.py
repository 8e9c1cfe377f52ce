"""Orthonormal bases in which the covariance of an analytic start is diagonal."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from invdiff.superres.spectral_transform import SpectralTransform
from operators.fourier import fft, ifft

__all__ = ["Family", "check_family", "from_basis", "to_basis"]

# "scalar" is diagonal in all of them
Family = Literal["cosine", "fourier", "pixel", "scalar"]


def check_family(family: str) -> None:
    """Raise ValueError for a name that is no family."""
    if family not in get_args(Family):
        raise ValueError(f"family: expected one of {', '.join(get_args(Family))}, got {family!r}")


def to_basis(x: Tensor, family: Family, num_axes: int) -> Tensor:
    """Return the coefficients of images in the basis of a family.

    Args:
        x: Real, ``(*batch, *image)``.
        family: ``"fourier"`` gives complex coefficients, the zero frequency in the middle.
        num_axes: Axes of an image.
    """
    axes = tuple(range(-num_axes, 0))
    if family == "fourier":
        return fft(x, axes)
    return SpectralTransform(x.shape[-num_axes:]).forward(x) if family == "cosine" else x


def from_basis(coefficients: Tensor, family: Family, num_axes: int) -> Tensor:
    """Return the real images of coefficients; the inverse of ``to_basis``."""
    axes = tuple(range(-num_axes, 0))
    if family == "fourier":
        # a spectrum of real images is even, so that what it filters is real but for rounding
        return ifft(coefficients, axes).real
    if family == "cosine":
        return SpectralTransform(coefficients.shape[-num_axes:]).inverse(coefficients)
    return coefficients
