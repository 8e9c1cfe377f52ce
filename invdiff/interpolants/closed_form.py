"""Processes whose components are Gaussian: every field is a mean in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from invdiff.interpolants.components import Components, Terms
from invdiff.interpolants.interpolant import Coefficients, Interpolant

__all__ = ["ClosedFormProcess"]


class ClosedFormProcess:
    r"""A mixture of jointly Gaussian pairs of ends.

    .. math:: E[L \mid x_t = x] = \sum_k r_k \bigl(E_k[L] +
        \mathrm{Cov}_k(L, x_t)\, C_k^{-1} (x - m_k)\bigr)

    for each field, a sum L of the ends and the noise, with responsibilities r.

    Args:
        interpolant: Any kind.
        shape: Of x.
        components: Of the ends.
    """

    def __init__(
        self, interpolant: Interpolant, shape: Sequence[int], components: Components
    ) -> None:
        self.interpolant, self.shape, self._components = interpolant, tuple(shape), components

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return b for x ``(*batch, *shape)``, t 0-dimensional or ``batch``.

        Raises:
            ValueError: The law of x_t is singular; the other fields raise it too.
        """
        c = self._at(t)
        return self._mean(x, c, c.alpha_dot, c.beta_dot, c.gamma_product)

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """Return s."""
        whitened, r = self._whitened(x, self._at(t))
        return self._mixed(r, -whitened, x)

    def both(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return b and s at the cost of b."""
        c = self._at(t)
        whitened, r = self._whitened(x, c)
        parts = self._parts(whitened, c, c.alpha_dot, c.beta_dot, c.gamma_product)
        return self._mixed(r, parts, x), self._mixed(r, -whitened, x)

    def path_velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return v, the mean of alpha' x0 + beta' x1."""
        c = self._at(t)
        return self._mean(x, c, c.alpha_dot, c.beta_dot, torch.zeros_like(c.beta))

    def noise(self, x: Tensor, t: Tensor) -> Tensor:
        """Return eta, the mean of the latent noise."""
        c = self._at(t)
        whitened, r = self._whitened(x, c)
        return self._mixed(r, c.gamma.reshape(*c.gamma.shape, 1, 1) * whitened, x)

    def target_mean(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the mean of x1 given x_t = x."""
        c = self._at(t)
        zero = torch.zeros_like(c.beta)
        return self._mean(x, c, zero, torch.ones_like(c.beta), zero)

    def log_prob(self, x: Tensor, t: Tensor) -> Tensor:
        """Return log rho(x, t), shape ``batch``."""
        return self._components.whitened(self._flat(x), self._at(t))[1].logsumexp(-1)

    def _at(self, t: Tensor) -> Coefficients:
        return self.interpolant.at(t.to(self._components.mean1))

    def _flat(self, x: Tensor) -> Tensor:
        if x.shape[x.ndim - len(self.shape) :] != self.shape:
            raise ValueError(
                f"{type(self).__name__}: expected x (*batch, *{self.shape}), got {tuple(x.shape)}"
            )
        batch = x.shape[: x.ndim - len(self.shape)]
        return x.reshape(*batch, -1).to(self._components.mean1)

    def _whitened(self, x: Tensor, c: Coefficients) -> tuple[Tensor, Tensor]:
        whitened, log_prob = self._components.whitened(self._flat(x), c)
        return whitened, log_prob.softmax(-1)

    def _mean(self, x: Tensor, c: Coefficients, p: Tensor, q: Tensor, noise: Tensor) -> Tensor:
        whitened, r = self._whitened(x, c)
        return self._mixed(r, self._parts(whitened, c, p, q, noise), x)

    def _parts(
        self, whitened: Tensor, c: Coefficients, p: Tensor, q: Tensor, noise: Tensor
    ) -> Tensor:
        """Return the mean of p x0 + q x1 + r z in each component; ``noise`` is r gamma."""
        covariance = Terms(p * c.alpha, q * c.beta, noise, p * c.beta, q * c.alpha)
        return self._components.mean(p, q) + self._components.apply(covariance, whitened)

    def _mixed(self, r: Tensor, parts: Tensor, x: Tensor) -> Tensor:
        return self._components.mixed(r.unsqueeze(-1) * parts).reshape(x.shape).to(x.dtype)
