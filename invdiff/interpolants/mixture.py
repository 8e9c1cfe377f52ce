"""Interpolants between Gaussian mixtures, where every field is known in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.interpolants.closed_form import ClosedFormProcess
from invdiff.interpolants.components import DenseComponents, commuting, variance_terms
from invdiff.interpolants.interpolant import Interpolant
from invdiff.priors.gaussian import GaussianMixturePrior

__all__ = ["MixtureProcess"]


class MixtureProcess(ClosedFormProcess):
    r"""Independent Gaussian mixtures at both ends, or one and noise.

    With components ij of weight :math:`p_i q_j`,

    .. math:: m = \alpha m^0_i + \beta m^1_j, \quad
        C = \alpha^2 C^0_i + \beta^2 C^1_j + \gamma^2, \quad
        b = \sum_{ij} r_{ij} [m' + \tfrac12 C' C^{-1} (x - m)], \quad
        s = -\sum_{ij} r_{ij} C^{-1} (x - m)

    and responsibilities r; :cite:t:`albergo2023`, appendix A. The covariance of the velocity with
    x_t is half of C', also where the covariances do not commute. Where they do, as with a base
    whose covariance is a multiple of the identity, no time needs a factorisation.

    Args:
        interpolant: Any kind.
        target: Law of x1.
        base: Law of x0; None exactly if the interpolant has none.

    Raises:
        ValueError: A base that is missing or not wanted, or another shape.
    """

    def __init__(
        self,
        interpolant: Interpolant,
        target: GaussianMixturePrior,
        base: GaussianMixturePrior | None = None,
    ) -> None:
        if interpolant.has_x0 != (base is not None):
            raise ValueError("MixtureProcess: a base belongs to an interpolant with x0, only")
        if base is not None and base.image_shape != target.image_shape:
            raise ValueError(
                f"MixtureProcess: the ends have shapes {base.image_shape} and {target.image_shape}"
            )
        self.base, self.target = base, target
        self._dense = _pairs(target, base)
        components = commuting(self._dense) or self._dense
        super().__init__(interpolant, target.image_shape, components)

    def sample(self, num_samples: int, t: Tensor, *, generator: torch.Generator) -> Tensor:
        """Draw x_t for a 0-dimensional t, ``(num_samples, *shape)``."""
        x1 = self.target.sample(num_samples, generator=generator)
        x0 = None
        if self.base is not None:
            x0 = self.base.sample(num_samples, generator=generator)
        z = torch.randn(x1.shape, dtype=x1.dtype, generator=generator, device=x1.device)
        return self.interpolant.point(t, x0, x1, z)

    def marginal(self, t: Tensor) -> GaussianMixturePrior:
        """Return the law of x_t for a 0-dimensional t."""
        c, dense = self._at(t), self._dense
        return GaussianMixturePrior(
            dense.log_weights.exp(),
            dense.mean(c.alpha, c.beta).reshape(-1, *self.shape),
            dense.combined(variance_terms(c)),
        )


def _pairs(target: GaussianMixturePrior, base: GaussianMixturePrior | None) -> DenseComponents:
    """Return each component of the base with each of the target."""
    m1, c1 = target.means.flatten(1), target.covariances
    if base is None:  # its weight is 0
        m0, c0, p0 = torch.zeros_like(m1[:1]), torch.zeros_like(c1[:1]), m1.new_ones(1)
    else:
        m0, c0, p0 = (
            part.to(m1) for part in (base.means.flatten(1), base.covariances, base.weights)
        )
    i, j = (
        part.flatten()
        for part in torch.meshgrid(torch.arange(len(m0)), torch.arange(len(m1)), indexing="ij")
    )
    log_weights = p0.log()[i] + target.weights.log()[j]
    return DenseComponents(log_weights, m0[i], m1[j], c0[i], c1[j])
