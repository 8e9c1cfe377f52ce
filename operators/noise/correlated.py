"""Normal noise that is correlated along one axis, such as between coils, and its whitening."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from typing_extensions import override

from operators.base import Composition, LinearOperator, matched
from operators.noise.base import NoiseModel, standard_normal
from operators.noise.gaussian import GaussianNoise


@dataclass(frozen=True, eq=False)
class CorrelatedGaussianNoise(NoiseModel):
    r"""y = A x + L n along one axis, with standard normal n and :math:`L L^H = \Psi`.

    A diagonal :math:`\Psi = \sigma^2 1` is :class:`GaussianNoise` of that sigma: for complex y
    the covariance is that of the real and of the imaginary part each, :math:`E[e e^H] = 2 \Psi`.

    Args:
        covariance: Psi (C, C), symmetric or Hermitian and positive definite, in squared units of
            y; float64 or complex128 keeps the precision of small eigenvalues.
        axis: The axis of length C counted from the last, such as -2 for y ``(coils, samples)``.

    Raises:
        ValueError: If the covariance is not square, finite, Hermitian and positive definite, or
            the axis is not negative.
    """

    covariance: Tensor
    axis: int = -2

    def __post_init__(self) -> None:
        if self.axis >= 0:
            raise ValueError(f"CorrelatedGaussianNoise: axis must be negative, got {self.axis}")
        _factor("CorrelatedGaussianNoise", self.covariance)

    @override
    def sample(self, clean: Tensor, *, generator: torch.Generator) -> Tensor:
        """Draw y; ``ValueError`` where the axis of clean is not of length C."""
        self._check_kind(clean)
        noise = standard_normal(clean.shape, clean.dtype, generator).to(clean.device)
        return clean + _along(_factor("", self.covariance), noise, self.axis)

    @override
    def log_prob(self, y: Tensor, clean: Tensor) -> Tensor:
        """Return the log density of each entry given those before it along the axis.

        Their sum over the axis is the joint log density; single entries are no marginals.
        """
        residual = y - clean
        self._check_kind(residual)
        factor = _factor("", self.covariance)
        white = _along(_inverse(factor), residual, self.axis)
        degrees, squared = 1, white**2
        if white.is_complex():
            degrees, squared = 2, white.real**2 + white.imag**2
        scale = matched(factor.diagonal().real.log().to(white.device), squared)
        shape = (-1,) + (1,) * (-self.axis - 1)
        return -squared / 2 - degrees * (scale.reshape(shape) + math.log(2 * math.pi) / 2)

    @override
    def quadratic(self, y: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return (y, :math:`1 / \Psi_{c,c}`), which ignores the correlations.

        No diagonal precision can hold them. The score is unbiased at the truth, but entries count
        as independent evidence that they are not: :func:`prewhitened` gives the same likelihood
        with an exact one.
        """
        self._check_kind(y)
        variance = self.covariance.diagonal().real.to(y.device)
        return y, matched(1 / variance, y).reshape((-1,) + (1,) * (-self.axis - 1))

    @override
    def check(self, y: Tensor) -> None:
        """Raise ``ValueError`` if y is not finite, or does not fit to the covariance."""
        self._check_kind(y)
        super().check(y)

    def _check_kind(self, v: Tensor) -> None:
        size = len(self.covariance)
        if v.ndim < -self.axis or v.shape[self.axis] != size:
            raise ValueError(
                f"CorrelatedGaussianNoise: expected {size} entries along axis {self.axis}, "
                f"got shape {tuple(v.shape)}"
            )
        if self.covariance.is_complex() and not v.is_complex():
            raise ValueError(f"CorrelatedGaussianNoise: covariance is complex, got {v.dtype}")


class Whitening(LinearOperator):
    r"""The map y -> L^{-1} y along one axis, :math:`L L^H = \Psi`, which makes noise white.

    Args:
        covariance: Psi (C, C), Hermitian and positive definite.
        in_shape: Trailing shape of y, with C entries along the axis.
        axis: Counted from the last, so negative.
        complex_valued: Whether y is complex; it must be where the covariance is.

    Raises:
        ValueError: If the covariance is not square, finite, Hermitian and positive definite, or
            does not fit to y.
    """

    _inverse: Tensor

    def __init__(
        self,
        covariance: Tensor,
        in_shape: Sequence[int],
        axis: int = -2,
        *,
        complex_valued: bool = False,
    ) -> None:
        factor = _factor("Whitening", covariance)
        if not -len(in_shape) <= axis < 0 or in_shape[axis] != len(covariance):
            raise ValueError(
                f"Whitening: expected {len(covariance)} entries along axis {axis}, "
                f"got shape {tuple(in_shape)}"
            )
        if covariance.is_complex() and not complex_valued:
            raise ValueError("Whitening: a complex covariance needs complex_valued=True")
        super().__init__(in_shape, in_shape)
        self.in_complex = self.out_complex = complex_valued
        self._axis = axis
        self.register_buffer("_inverse", _inverse(factor))

    def _forward(self, x: Tensor) -> Tensor:
        return _along(self._inverse, x, self._axis)

    def _adjoint(self, y: Tensor) -> Tensor:
        return _along(self._inverse.mH.resolve_conj(), y, self._axis)


class Prewhitened(NamedTuple):
    """The arguments of a likelihood, equal to that of correlated noise up to a constant.

    Attributes:
        operator: L^{-1} A.
        noise: Unit Gaussian noise.
        y: L^{-1} y.
    """

    operator: LinearOperator
    noise: GaussianNoise
    y: Tensor


def prewhitened(operator: LinearOperator, noise: CorrelatedGaussianNoise, y: Tensor) -> Prewhitened:
    r"""Turn correlated noise into white noise (Roemer et al. 1990; Pruessmann et al. 2001).

    .. math:: y = A x + L n \quad \Leftrightarrow \quad L^{-1} y = L^{-1} A x + n

    The log densities differ by the constant log det L alone, and the precision of the new problem
    is 1, as exact proximal steps need it.

    Args:
        operator: A.
        noise: Noise along one of the axes of ``operator.out_shape``.
        y: Measurements ``(*batch, *operator.out_shape)``.

    Raises:
        ValueError: If the noise does not fit to the operator, or y to either.
    """
    noise.check(y)
    whitening = Whitening(
        noise.covariance, operator.out_shape, noise.axis, complex_valued=operator.out_complex
    ).to(y.device)
    return Prewhitened(Composition(whitening, operator), GaussianNoise(1.0), whitening(y))


def estimate_covariance(noise: Tensor, axis: int = -2) -> Tensor:
    r"""Estimate the covariance along one axis from noise alone, such as of a scan without pulses.

    .. math:: \Psi = \frac{1}{d N} \sum_{i = 1}^N e_i e_i^H

    for noise of zero mean; d is 2 for complex e (real and imaginary part each), 1 for real.

    Args:
        noise: Any shape with C entries along the axis; N is the product of the other sizes.
        axis: The axis of length C.

    Returns:
        (C, C), in the dtype of the noise.

    Raises:
        ValueError: If there are fewer than C samples: the estimate would be singular.
    """
    samples = noise.movedim(axis, 0).flatten(1)
    if samples.shape[1] < samples.shape[0]:
        raise ValueError(
            f"estimate_covariance: {samples.shape[1]} samples of {samples.shape[0]} entries"
        )
    return samples @ samples.mH / (samples.shape[1] * (2 if noise.is_complex() else 1))


def _factor(name: str, covariance: Tensor) -> Tensor:
    """Return the lower Cholesky factor L."""
    if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1] or not len(covariance):
        raise ValueError(f"{name}: expected a square covariance, got {tuple(covariance.shape)}")
    if not (covariance.is_floating_point() or covariance.is_complex()):
        raise ValueError(f"{name}: expected a floating-point covariance, got {covariance.dtype}")
    # rounding of an estimate in float32
    if not torch.allclose(covariance, covariance.mH, rtol=1e-5, atol=0):
        raise ValueError(f"{name}: the covariance is not Hermitian, or not finite")
    factor, info = torch.linalg.cholesky_ex(covariance)
    if info.item() != 0:
        raise ValueError(f"{name}: the covariance is not positive definite")
    return factor


def _inverse(factor: Tensor) -> Tensor:
    identity = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
    return torch.linalg.solve_triangular(factor, identity, upper=False)


def _along(matrix: Tensor, v: Tensor, axis: int) -> Tensor:
    """Multiply the entries along an axis of v by a matrix; a real one may meet a complex v."""
    matrix = matched(matrix, v).to(v.device)
    if v.is_complex():
        matrix = matrix.to(v.dtype)
    return (v.movedim(axis, -1) @ matrix.mT).movedim(-1, axis)
