"""Reconstructions in one pass: filtered back-projection, zero filling, interpolation."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor
from torch.nn import functional

from invdiff.likelihood import Likelihood
from operators import CartesianMRI, Composition, Downsample, LinearOperator, SliceStack
from operators.ct import (
    ConeGeometry,
    FanBeam2D,
    ParallelBeam2D,
    VolumeGrid,
    feldkamp,
    filtered_backprojection,
)
from operators.ct.fbp import Window

__all__ = ["fbp", "fdk", "find_operator", "interpolate", "zero_filled"]

Kind = TypeVar("Kind", bound=LinearOperator)


def fbp(likelihood: Likelihood, *, window: Window = "hann") -> Tensor:
    """Reconstruct CT by filtered back-projection of the line integrals.

    Args:
        likelihood: Of a ``ParallelBeam2D`` or ``FanBeam2D``, or of a ``SliceStack`` of one; counts
            are first turned into line integrals by the noise model.
        window: Apodisation of the ramp filter.

    Returns:
        Attenuation in 1/mm, shape ``(*problems, *image_shape)``.

    Raises:
        ValueError: Another operator.
    """
    operator = _of_one_slice(likelihood.operator)
    if not isinstance(operator, ParallelBeam2D | FanBeam2D):
        raise ValueError(f"fbp: expected a CT projector, got {type(operator).__name__}")
    return filtered_backprojection(operator, likelihood.target, window)


def fdk(likelihood: Likelihood, *, window: Window = "hann") -> Tensor:
    """Reconstruct circular cone-beam CT by the algorithm of Feldkamp, Davis and Kress.

    Args:
        likelihood: Of a projector with a ``grid`` (``VolumeGrid``) and a ``geometry``
            (``ConeGeometry``); counts are first turned into line integrals by the noise model.
        window: Apodisation of the ramp filter.

    Returns:
        Attenuation in 1/mm, shape ``(*problems, slices, rows, columns)``.

    Raises:
        ValueError: Another operator, or a helical scan.
    """
    operator = likelihood.operator
    grid, geometry = getattr(operator, "grid", None), getattr(operator, "geometry", None)
    if not (isinstance(grid, VolumeGrid) and isinstance(geometry, ConeGeometry)):
        raise ValueError(f"fdk: expected a cone-beam projector, got {type(operator).__name__}")
    return feldkamp(grid, geometry, likelihood.target, window)


def zero_filled(likelihood: Likelihood) -> Tensor:
    """Return A^H y of Cartesian MRI: the coil-combined image of k-space filled with zeros.

    In 2D, of a stack of slices, or in 3D.

    Raises:
        ValueError: The operator is no Cartesian MRI.
    """
    find_operator(likelihood.operator, CartesianMRI)
    return likelihood.operator.adjoint(likelihood.y)


def interpolate(likelihood: Likelihood) -> Tensor:
    """Return the bicubic interpolation of downsampled images, ``(*problems, *image_shape)``.

    Raises:
        ValueError: The operator is no ``Downsample`` of a 2D image, nor a stack of one.
    """
    operator = find_operator(likelihood.operator, Downsample)
    if len(operator.in_shape) != 2:
        raise ValueError(f"interpolate: expected a 2D image, got shape {operator.in_shape}")
    y = likelihood.y
    # antialias=True is Keys' kernel with a = -1/2, which keeps a ramp; without it a is -3/4
    image = functional.interpolate(
        y.reshape(-1, 1, *y.shape[-2:]), size=operator.in_shape, mode="bicubic", antialias=True
    )
    return image.reshape(*likelihood.batch_shape, *likelihood.image_shape)


def find_operator(operator: LinearOperator, kind: type[Kind]) -> Kind:
    """Return the outermost operator of a composition, or the operator itself, if of that kind.

    That of a ``SliceStack`` is found in the scan of one slice.

    Raises:
        ValueError: It is of another kind.
    """
    operator = _of_one_slice(operator)
    outer = operator.outer if isinstance(operator, Composition) else operator
    if not isinstance(outer, kind):
        raise ValueError(f"expected a {kind.__name__}, got {type(outer).__name__}")
    return outer


def _of_one_slice(operator: LinearOperator) -> LinearOperator:
    return operator.operator if isinstance(operator, SliceStack) else operator
