"""Normal noise that is correlated along one axis, such as between coils."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from operators.base import matched
from operators.noise._cholesky import along, cholesky_factor, inverse_factor
from operators.noise.base import NoiseModel, standard_normal


@dataclass(frozen=True, eq=False)
class CorrelatedGaussianNoise(NoiseModel):
    r"""y = A x + L n along one axis, with standard normal n and :math:`L L^H = \Psi`.

    A diagonal :math:`\Psi = \sigma^2 1` is :class:`~operators.noise.gaussian.GaussianNoise` of
    that sigma: for complex y the covariance is that of the real and of the imaginary part each,
    :math:`E[e e^H] = 2 \Psi`.

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
        cholesky_factor("CorrelatedGaussianNoise", self.covariance)

    @override
    def sample(self, clean: Tensor, *, generator: torch.Generator) -> Tensor:
        """Draw y; ``ValueError`` where the axis of clean is not of length C."""
        self._check_kind(clean)
        noise = standard_normal(clean.shape, clean.dtype, generator).to(clean.device)
        return clean + along(cholesky_factor("", self.covariance), noise, self.axis)

    @override
    def log_prob(self, y: Tensor, clean: Tensor) -> Tensor:
        """Return the log density of each entry given those before it along the axis.

        Their sum over the axis is the joint log density; single entries are no marginals.
        """
        residual = y - clean
        self._check_kind(residual)
        factor = cholesky_factor("", self.covariance)
        white = along(inverse_factor(factor), residual, self.axis)
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
        as independent evidence that they are not.
        :func:`~operators.noise.whitening.prewhitened` gives the same likelihood with an exact one.
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
