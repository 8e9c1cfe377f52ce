"""The covariance that a Gaussian prior and tempered data leave, applied and drawn from."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import conjugate_gradient, expand_right, inner
from invdiff.rng import Population
from operators import SVDOperator

__all__ = ["DataCovariance"]


@dataclass(frozen=True, eq=False)
class DataCovariance:
    r"""The covariance of an image given tempered data, :math:`C = (\alpha A^H W A + v^{-1})^{-1}`.

    In the basis of an ``SVDOperator`` with noise of one level; by conjugate gradients otherwise,
    where a draw solves for a perturbed right-hand side: :math:`C (\sqrt\alpha A^H W^{1/2} n_1 +
    v^{-1/2} n_2)` has the covariance C.

    Args:
        likelihood: A and W.
        temperature: alpha, shape ``problems``.
        variance: v of the prior, in squared units of the image, 0-dimensional.
        num_cg: Conjugate gradient steps of a solve.
        directions: alpha of each singular vector instead, ``(*problems, *singular_values.shape)``.
    """

    likelihood: Likelihood
    temperature: Tensor
    variance: Tensor
    num_cg: int
    directions: Tensor | None = None

    def apply(self, x: Tensor) -> Tensor:
        """Return C x for x ``(N, *problems, *image_shape)``."""
        operator = self.likelihood.spectral_operator
        if operator is None:
            return self._solved(x)
        variance, kept = self._spectrum(operator, x)
        return variance * (x + operator.V(operator.Vh(x) * (kept - 1)))

    def move(self, slope: Tensor, step: float, source: Population) -> Tensor:
        r"""Return :math:`(1 - e^{-h}) C g + \sqrt{1 - e^{-2h}}\, C^{1/2} n`.

        Args:
            slope: g, shape ``(N, *problems, *image_shape)``.
            step: h; infinite for a draw from the Gaussian of which g is the score at 0.
            source: Draws n.
        """
        drift, spread = -math.expm1(-step), math.sqrt(-math.expm1(-2 * step))
        operator, shape = self.likelihood.spectral_operator, self.likelihood.image_shape
        noise = spread * source.normal(len(slope), shape, slope)
        if operator is None:
            return self._solved(
                drift * slope
                + spread * self._data_noise(slope, source)
                + noise / self.variance.to(noise.real).sqrt()
            )
        variance, kept = self._spectrum(operator, slope)
        pull, noise = variance * drift * slope, variance.sqrt() * noise
        # C is v outside the row space of A and v kept in it: both from one way there and back
        along = operator.Vh(pull) * (kept - 1) + operator.Vh(noise) * (kept.sqrt() - 1)
        return pull + noise + operator.V(along)

    def inverse_norm(self, x: Tensor) -> Tensor:
        r"""Return :math:`x^H C^{-1} x`, shape ``(N, *problems)``, float64."""
        num_dims = len(self.likelihood.image_shape)
        mapped = self.likelihood.operator(x)
        squared = (self.likelihood.precision * (mapped * mapped.conj()).real).double()
        data = self.temperature * squared.flatten(self.temperature.ndim + 1).sum(-1)
        operator = self.likelihood.spectral_operator
        if self.directions is not None and operator is not None:
            s, z = operator.singular_values.double(), operator.Vh(x)
            squared = self.directions * s**2 * (z * z.conj()).real
            data = self.likelihood.precision * squared.flatten(self.temperature.ndim + 1).sum(-1)
        prior = inner(x, x, num_dims).double().reshape(data.shape)
        return data + prior / self.variance

    def _spectrum(self, operator: SVDOperator, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return v, and what the data leave of it along each singular vector."""
        s = operator.singular_values.to(like.dtype.to_real())
        variance, alpha = self.variance.to(s), expand_right(self.temperature.to(s), s.ndim)
        if self.directions is not None:
            alpha = self.directions.to(s)
        return variance, 1 / (1 + variance * alpha * self.likelihood.precision * s**2)

    def _data_noise(self, like: Tensor, source: Population) -> Tensor:
        """Draw with the covariance alpha A^H W A."""
        operator = self.likelihood.operator
        noise = source.normal(len(like), operator.out_shape, self.likelihood.target)
        weighted = operator.adjoint(self.likelihood.precision.sqrt() * noise)
        return self._alpha(like).sqrt() * weighted

    def _solved(self, x: Tensor) -> Tensor:
        variance, alpha = self.variance.to(x.dtype.to_real()), self._alpha(x)
        # (1 + v alpha A^H W A) z = v x: eigenvalues from 1 up
        return conjugate_gradient(
            lambda z: z + variance * alpha * self.likelihood.weighted_normal(z),
            variance * x,
            num_dims=len(self.likelihood.image_shape),
            num_steps=self.num_cg,
        )

    def _alpha(self, like: Tensor) -> Tensor:
        num_dims = len(self.likelihood.image_shape)
        return expand_right(self.temperature.to(like.dtype.to_real()), num_dims)
