"""The density that an annealed ensemble is weighted for at one noise level."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import expand_right, ratio
from invdiff.priors.denoiser import Denoiser
from operators import SVDOperator

__all__ = ["TemperedTarget", "direction_temperatures", "misfit_energy", "tempered_energy"]


def misfit_energy(likelihood: Likelihood, x: Tensor) -> Tensor:
    r"""Return :math:`\mu(x) = \tfrac12 \|t - A x\|_W^2`, shape ``batch``, float64."""
    residual = likelihood.residual(x)
    squared = (residual * residual.conj()).real
    num_dims = len(likelihood.operator.out_shape)
    return (likelihood.precision * squared).double().flatten(-num_dims).sum(-1) / 2


def direction_temperatures(
    likelihood: Likelihood, temperature: Tensor, squared_norm: Tensor
) -> Tensor | None:
    r"""Return the alpha of each singular vector, None where the SVD is not known.

    .. math:: \alpha_i = \frac{1}{1 + s_i^2 W q}, \qquad \alpha = \frac{1}{1 + \|W^{1/2} A\|^2 q}

    with the variance q of the noise that the image still has: of a measured direction the noise
    counts as that of its own datum, and a weak direction is not kept waiting for the strongest.

    Args:
        likelihood: A and W.
        temperature: alpha, shape ``problems``.
        squared_norm: Squared norm of W^(1/2) A, shape ``problems``.

    Returns:
        Shape ``(*problems, *singular_values.shape)``.
    """
    operator, precision = likelihood.spectral_operator, likelihood.precision
    if operator is None:
        return None
    squares = precision.double() * operator.singular_values.double() ** 2
    alpha, norm = (expand_right(v, squares.ndim) for v in (temperature, squared_norm))
    return ratio(alpha * norm, alpha * norm + (1 - alpha) * squares)


def tempered_energy(
    likelihood: Likelihood, x: Tensor, temperature: Tensor, directions: Tensor | None
) -> Tensor:
    r"""Return :math:`\alpha \mu(x)`, shape ``batch``, float64; per direction where given.

    What no image can explain of the data counts in full then, the same for all x.
    """
    operator = likelihood.operator
    if directions is None or not isinstance(operator, SVDOperator):
        return temperature * misfit_energy(likelihood, x)
    z = operator.Uh(likelihood.residual(x))
    squared = directions * (z * z.conj()).real.double()
    explained = likelihood.precision.double() * squared.flatten(temperature.ndim + 1).sum(-1)
    return explained / 2 + _unexplained_energy(likelihood, operator)


def _unexplained_energy(likelihood: Likelihood, operator: SVDOperator) -> Tensor:
    """Return the least misfit that any image has, shape ``problems``, float64.

    From the data alone: as a difference of two energies of a noisy image, which are millions of
    times larger, it would be lost in float32.
    """
    target = likelihood.target
    t = target.to(torch.complex128 if target.is_complex() else torch.float64)
    z = operator.Uh(t)
    num_problems = len(likelihood.batch_shape)
    total, inside = ((v * v.conj()).real.flatten(num_problems).sum(-1) for v in (t, z))
    return likelihood.precision.double() * (total - inside).clamp(min=0) / 2


@dataclass(frozen=True, eq=False)
class TemperedTarget:
    r"""The density :math:`Q_t \propto p_t(x)\, e^{-\alpha \mu(x)}`.

    Args:
        likelihood: mu.
        denoiser: p_t, the prior under noise; one with ``log_prob`` for ``log_density``.
        sigma: t in the units of the image, 0-dimensional and positive.
        temperature: alpha, shape ``problems``.
        directions: Of each singular vector instead, see ``direction_temperatures``.
    """

    likelihood: Likelihood
    denoiser: Denoiser
    sigma: Tensor
    temperature: Tensor
    directions: Tensor | None = None

    def score(self, x: Tensor) -> Tensor:
        r"""Return :math:`\nabla \log Q_t`, in the shape of x."""
        sigma = self.sigma.to(x.dtype.to_real())
        return (self.denoiser(x, sigma) - x) / sigma**2 + self.data_score(x)

    def data_score(self, x: Tensor) -> Tensor:
        r"""Return :math:`-\nabla \alpha \mu`, in the shape of x."""
        operator, pull = self.likelihood.operator, self.likelihood.quadratic_score(x)
        if self.directions is None or not isinstance(operator, SVDOperator):
            alpha = self.temperature.to(x.dtype.to_real())
            return expand_right(alpha, len(self.likelihood.image_shape)) * pull
        alpha = self.directions.to(x.dtype.to_real())
        return operator.V(alpha * operator.Vh(pull))

    def log_density(self, x: Tensor) -> Tensor:
        """Return log Q_t up to a constant, shape ``batch``, float64."""
        prior: Tensor = self.denoiser.log_prob(x, self.sigma)  # type: ignore[attr-defined]
        return prior.double() - tempered_energy(
            self.likelihood, x, self.temperature, self.directions
        )
