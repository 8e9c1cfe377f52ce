"""Conditional denoisers known in closed form: the oracle of solvers and boundary searches."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.priors.gaussian import GaussianMixturePrior
from operators.base import LinearOperator
from operators.testing import to_dense

__all__ = ["ExactConditional"]


class ExactConditional:
    r"""E[x0 | x0 + sigma n = x, y] of a Gaussian mixture seen through y = A x0 + s e.

    .. math:: D(x, \sigma, y) = \sum_k r_k(x, y)\,
        \bigl(m'_k(y) + S_k (S_k + \sigma^2)^{-1} (x - m'_k(y))\bigr)

    with the posterior covariances S_k and means m'_k of each component, and
    :math:`r_k \propto w_k N(y; A m_k, A C_k A^T + s^2)\, N(x; m'_k, S_k + \sigma^2)`.

    Args:
        prior: The mixture, or a Gaussian.
        operator: A, real.
        noise_std: s > 0.

    Raises:
        ValueError: An operator on other images, or noise that is not positive.
    """

    def __init__(
        self, prior: GaussianMixturePrior, operator: LinearOperator, noise_std: float
    ) -> None:
        if operator.in_shape != prior.image_shape or operator.in_complex:
            raise ValueError(
                f"ExactConditional: the prior has images of {prior.image_shape}, the operator "
                f"takes {operator.in_shape}"
            )
        if not noise_std > 0:
            raise ValueError(f"ExactConditional: expected noise_std > 0, got {noise_std}")
        self.prior, self.operator, self.noise_std = prior, operator, noise_std
        self.data_range, self.image_shape = prior.data_range, prior.image_shape
        self._matrix = to_dense(operator).to(prior.means)
        cross = prior.covariances @ self._matrix.mT
        noise = noise_std**2 * torch.eye(len(self._matrix)).to(prior.means)
        self._evidence = torch.linalg.cholesky(self._matrix @ cross + noise)
        self._gain = torch.cholesky_solve(cross.mT, self._evidence).mT
        covariance = prior.covariances - self._gain @ cross.mT
        self.covariances = (covariance + covariance.mT) / 2
        values, self._vectors = torch.linalg.eigh(self.covariances)
        self._values = values.clamp(min=0)

    def __call__(self, x: Tensor, sigma: Tensor, y: Tensor) -> Tensor:
        """Return the mean for x ``(*batch, *image)``, sigma 0-dimensional or ``batch``."""
        batch = x.shape[: x.ndim - len(self.image_shape)]
        flat = x.reshape(*batch, 1, -1).to(self._values)
        means, evidence = self._posterior(y)
        z = torch.einsum("kij,...ki->...kj", self._vectors, flat - means)
        variance = self._values + sigma.to(z).reshape(*sigma.shape, 1, 1) ** 2
        log_weight = evidence - (z**2 / variance + variance.log()).sum(-1) / 2
        shrunk = torch.einsum("kij,...kj->...ki", self._vectors, self._values / variance * z)
        mean = (log_weight.softmax(-1).unsqueeze(-1) * (means + shrunk)).sum(-2)
        return mean.reshape(*mean.shape[:-1], *self.image_shape).to(x.dtype)

    def center(self, y: Tensor) -> Tensor:
        """Return the mean of the prior, whatever y: the ODE starts where no one looked."""
        batch = y.shape[: y.ndim - len(self.operator.out_shape)]
        return self.prior.mean().to(y).expand(*batch, *self.image_shape)

    def posterior_mean(self, y: Tensor) -> Tensor:
        """Return E[x0 | y], ``(*batch, *image)``."""
        means, log_weight = self._posterior(y)
        mean = (log_weight.softmax(-1).unsqueeze(-1) * means).sum(-2)
        return mean.reshape(*mean.shape[:-1], *self.image_shape).to(y.dtype)

    def _posterior(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return m'_k(y), ``(*batch, K, n)``, and the log weights of the components given y."""
        batch = y.shape[: y.ndim - len(self.operator.out_shape)]
        prior_means = self.prior.means.flatten(1)
        residual = y.reshape(*batch, 1, -1).to(prior_means) - prior_means @ self._matrix.mT
        means = prior_means + torch.einsum("kij,...kj->...ki", self._gain, residual)
        # all measurements as columns: a batch of systems would copy the matrix for each of them
        columns = residual.reshape(-1, *residual.shape[-2:]).permute(1, 2, 0)
        white = torch.linalg.solve_triangular(self._evidence, columns, upper=False)
        log_det = torch.diagonal(self._evidence, dim1=1, dim2=2).log().sum(-1)
        distance = (white**2).sum(1).mT.reshape(residual.shape[:-1])
        return means, self.prior.weights.log() - distance / 2 - log_det
