"""Interpolants between Gaussian mixtures, where every field is known in closed form."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invdiff.interpolants.interpolant import Coefficients, Interpolant
from invdiff.priors.gaussian import GaussianMixturePrior

__all__ = ["MixtureProcess"]


class MixtureProcess:
    r"""Independent Gaussian mixtures at both ends, or one and noise.

    With components ij of weight :math:`p_i q_j`,

    .. math:: m = \alpha m^0_i + \beta m^1_j, \quad
        C = \alpha^2 C^0_i + \beta^2 C^1_j + \gamma^2, \quad
        b = \sum_{ij} r_{ij} [m' + \tfrac12 C' C^{-1} (x - m)], \quad
        s = -\sum_{ij} r_{ij} C^{-1} (x - m)

    and responsibilities r; :cite:t:`albergo2023`, appendix A. The covariance of the velocity with
    x_t is half of C', also where the covariances do not commute.

    Args:
        interpolant: Any kind.
        target: Law of x1, ``image_shape`` ``(dim,)``.
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
        self.interpolant, self.base, self.target = interpolant, base, target
        m1, c1 = target.means.flatten(1), target.covariances
        if base is None:
            m0, c0, p0 = torch.zeros_like(m1[:1]), torch.zeros_like(c1[:1]), m1.new_ones(1)
        else:
            m0, c0, p0 = base.means.flatten(1), base.covariances, base.weights
        count0, count1 = len(m0), len(m1)
        self._log_weights = (p0.unsqueeze(1) * target.weights).log().flatten()
        self._m0, self._c0 = m0.repeat_interleave(count1, 0), c0.repeat_interleave(count1, 0)
        self._m1, self._c1 = m1.repeat(count0, 1), c1.repeat(count0, 1, 1)

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return b for x ``(*batch, *shape)``, t 0-dimensional or ``batch``."""
        c = self.interpolant.at(t.to(self._m1))
        whitened, r = self._whitened(x, c)
        mean_dot = _over(c.alpha_dot, self._m0) + _over(c.beta_dot, self._m1)
        half = self._combined(c.alpha * c.alpha_dot, c.beta * c.beta_dot, c.gamma_product)
        parts = mean_dot + torch.einsum("...kij,...kj->...ki", half, whitened)
        return self._mixed(r, parts, x)

    def path_velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return v, the mean of alpha' x0 + beta' x1."""
        c = self.interpolant.at(t.to(self._m1))
        whitened, r = self._whitened(x, c)
        mean_dot = _over(c.alpha_dot, self._m0) + _over(c.beta_dot, self._m1)
        half = self._combined(c.alpha * c.alpha_dot, c.beta * c.beta_dot, torch.zeros_like(c.beta))
        parts = mean_dot + torch.einsum("...kij,...kj->...ki", half, whitened)
        return self._mixed(r, parts, x)

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """Return s."""
        whitened, r = self._whitened(x, self.interpolant.at(t.to(self._m1)))
        return self._mixed(r, -whitened, x)

    def noise(self, x: Tensor, t: Tensor) -> Tensor:
        """Return eta, the mean of the latent noise."""
        c = self.interpolant.at(t.to(self._m1))
        whitened, r = self._whitened(x, c)
        return self._mixed(r, _over(c.gamma, whitened), x)

    def log_prob(self, x: Tensor, t: Tensor) -> Tensor:
        """Return log rho(x, t), shape ``batch``."""
        return self._component_log_prob(x, self.interpolant.at(t.to(self._m1)))[1].logsumexp(-1)

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
        c = self.interpolant.at(t.to(self._m1))
        means = _over(c.alpha, self._m0) + _over(c.beta, self._m1)
        return GaussianMixturePrior(
            self._log_weights.exp(),
            means.reshape(-1, *self.target.image_shape),
            self._combined(c.alpha**2, c.beta**2, c.gamma**2),
        )

    def _combined(self, of_base: Tensor, of_target: Tensor, of_noise: Tensor) -> Tensor:
        """Return a sum of the covariances and the identity, ``(*t, K, n, n)``."""
        eye = torch.eye(self._c1.shape[-1]).to(self._c1)
        weights = (w.reshape(*w.shape, 1, 1, 1) for w in (of_base, of_target, of_noise))
        u, v, w = weights
        return u * self._c0 + v * self._c1 + w * eye

    def _whitened(self, x: Tensor, c: Coefficients) -> tuple[Tensor, Tensor]:
        """Return C^-1 (x - m), ``(*batch, K, n)``, and the responsibilities ``(*batch, K)``."""
        solved, log_prob = self._component_log_prob(x, c)
        return solved, log_prob.softmax(-1)

    def _component_log_prob(self, x: Tensor, c: Coefficients) -> tuple[Tensor, Tensor]:
        batch = x.shape[: x.ndim - len(self.target.image_shape)]
        flat = x.reshape(*batch, 1, -1).to(self._m1)
        offset = flat - _over(c.alpha, self._m0) - _over(c.beta, self._m1)
        factor = torch.linalg.cholesky(self._combined(c.alpha**2, c.beta**2, c.gamma**2))
        if c.alpha.ndim:  # a matrix for each member of the batch
            solved = torch.cholesky_solve(offset.unsqueeze(-1), factor).squeeze(-1)
        else:  # all members as columns of one system for each component
            columns = offset.reshape(-1, *offset.shape[-2:]).permute(1, 2, 0)
            solved = torch.cholesky_solve(columns, factor).permute(2, 0, 1).reshape(offset.shape)
        log_det = torch.diagonal(factor, dim1=-2, dim2=-1).log().sum(-1)
        square = (offset * solved).sum(-1)
        constant = flat.shape[-1] * math.log(2 * math.pi) / 2
        return solved, self._log_weights - square / 2 - log_det - constant

    def _mixed(self, r: Tensor, parts: Tensor, x: Tensor) -> Tensor:
        return (r.unsqueeze(-1) * parts).sum(-2).reshape(x.shape).to(x.dtype)


def _over(c: Tensor, parts: Tensor) -> Tensor:
    """Multiply vectors of the components ``(K, n)`` by coefficients ``t``: ``(*t, K, n)``."""
    return c.reshape(*c.shape, 1, 1) * parts
