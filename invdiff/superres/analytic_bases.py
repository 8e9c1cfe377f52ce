"""Orthonormal bases in which the covariance of an analytic start is diagonal."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from operators.fourier import fft, ifft

__all__ = ["Family", "check_family", "from_basis", "to_basis"]

# "scalar" is diagonal in all of them
Family = Literal["dct", "fourier", "pixel", "scalar"]


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
    return _cosine(x, axes, inverse=False) if family == "dct" else x


def from_basis(coefficients: Tensor, family: Family, num_axes: int) -> Tensor:
    """Return the real images of coefficients; the inverse of ``to_basis``."""
    axes = tuple(range(-num_axes, 0))
    if family == "fourier":
        # a spectrum of real images is even, so that what it filters is real but for rounding
        return ifft(coefficients, axes).real
    return _cosine(coefficients, axes, inverse=True) if family == "dct" else coefficients


def _cosine(x: Tensor, axes: tuple[int, ...], *, inverse: bool) -> Tensor:
    for axis in axes:
        matrix = _cosine_matrix(x.shape[axis]).to(x)
        x = (x.movedim(axis, -1) @ (matrix if inverse else matrix.mT)).movedim(-1, axis)
    return x


def _cosine_matrix(size: int) -> Tensor:
    """Return the orthonormal type-II cosine transform, ``(frequency, pixel)``, float64."""
    places = (torch.arange(size, dtype=torch.float64) + 0.5) * math.pi / size
    waves = (torch.arange(size).unsqueeze(1) * places).cos() * math.sqrt(2 / size)
    # the constant wave has twice the mean square of the others
    scale = torch.ones(size, 1, dtype=torch.float64)
    scale[0] = math.sqrt(0.5)
    return scale * waves
