"""The density that an annealed ensemble is weighted for at one noise level."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import expand_right
from invdiff.priors.denoiser import Denoiser

__all__ = ["TemperedTarget", "misfit_energy"]


def misfit_energy(likelihood: Likelihood, x: Tensor) -> Tensor:
    r"""Return :math:`\mu(x) = \tfrac12 \|t - A x\|_W^2`, shape ``batch``, float64."""
    residual = likelihood.residual(x)
    squared = (residual * residual.conj()).real
    num_dims = len(likelihood.operator.out_shape)
    return (likelihood.precision * squared).double().flatten(-num_dims).sum(-1) / 2


@dataclass(frozen=True, eq=False)
class TemperedTarget:
    r"""The density :math:`Q_t \propto p_t(x)\, e^{-\alpha \mu(x)}`.

    Args:
        likelihood: mu.
        denoiser: p_t, the prior under noise; one with ``log_prob`` for ``log_density``.
        sigma: t in the units of the image, 0-dimensional and positive.
        temperature: alpha, shape ``problems``.
    """

    likelihood: Likelihood
    denoiser: Denoiser
    sigma: Tensor
    temperature: Tensor

    def score(self, x: Tensor) -> Tensor:
        r"""Return :math:`\nabla \log Q_t`, in the shape of x."""
        sigma = self.sigma.to(x.dtype.to_real())
        alpha = self.temperature.to(x.dtype.to_real())
        data = expand_right(alpha, len(self.likelihood.image_shape))
        prior = (self.denoiser(x, sigma) - x) / sigma**2
        return prior + data * self.likelihood.quadratic_score(x)

    def log_density(self, x: Tensor) -> Tensor:
        """Return log Q_t up to a constant, shape ``batch``, float64."""
        prior: Tensor = self.denoiser.log_prob(x, self.sigma)  # type: ignore[attr-defined]
        return prior.double() - self.temperature * misfit_energy(self.likelihood, x)
