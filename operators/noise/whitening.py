"""Correlated noise made white, and its covariance from a scan of noise alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from operators.base import Composition, LinearOperator
from operators.noise._cholesky import along, cholesky_factor, inverse_factor
from operators.noise.correlated import CorrelatedGaussianNoise
from operators.noise.gaussian import GaussianNoise

if TYPE_CHECKING:
    from collections.abc import Sequence


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
        factor = cholesky_factor("Whitening", covariance)
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
        self.register_buffer("_inverse", inverse_factor(factor))

    def _forward(self, x: Tensor) -> Tensor:
        return along(self._inverse, x, self._axis)

    def _adjoint(self, y: Tensor) -> Tensor:
        return along(self._inverse.mH.resolve_conj(), y, self._axis)


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
