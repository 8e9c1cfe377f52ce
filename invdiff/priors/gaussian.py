"""Priors whose denoiser, density and posterior are known exactly: the oracle of every sampler."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from operators import GaussianNoise
from operators.testing import to_dense

__all__ = ["GaussianMixturePrior", "GaussianPrior", "observation"]

# the data range of a Gaussian reaches this many standard deviations beyond its means
_RANGE = 4.0


class GaussianMixturePrior:
    r"""p(x) = sum_k w_k N(x; m_k, C_k), images flattened to n numbers; float64 unless given so.

    .. math:: D(x, \sigma) = \sum_k r_k(x)\,\bigl(m_k + C_k (C_k + \sigma^2)^{-1} (x - m_k)\bigr)

    with :math:`r_k \propto w_k N(x; m_k, C_k + \sigma^2)`.

    Args:
        weights: Shape ``(K,)``, positive; normalised to sum 1.
        means: Shape ``(K, *image_shape)``.
        covariances: Shape ``(K, n, n)``, symmetric and positive semidefinite.
        data_range: By default four standard deviations about the lowest and the highest mean.

    Raises:
        ValueError: Shapes that don't fit, weights or covariances that are not positive, or a range
            that is empty.
    """

    def __init__(
        self,
        weights: Tensor,
        means: Tensor,
        covariances: Tensor,
        *,
        data_range: tuple[float, float] | None = None,
    ) -> None:
        count, n = means.shape[0], means[0].numel()
        if weights.shape != (count,) or covariances.shape != (count, n, n):
            raise ValueError(
                f"mixture: {count} means of {n} numbers need weights ({count},) and covariances "
                f"({count}, {n}, {n}), got {tuple(weights.shape)} and {tuple(covariances.shape)}"
            )
        if not (weights > 0).all():
            raise ValueError(f"mixture: weights must be positive, got {weights.tolist()}")
        self.weights, self.means = weights / weights.sum(), means
        self.covariances = covariances
        self.image_shape: tuple[int, ...] = tuple(means.shape[1:])
        self._values, self._vectors = torch.linalg.eigh(covariances)
        if self._values.min() < -1e-9 * self._values.max():
            raise ValueError("mixture: a covariance has a negative eigenvalue")
        self._values = self._values.clamp(min=0)
        spread = _RANGE * float(torch.diagonal(covariances, dim1=1, dim2=2).max().sqrt())
        self.data_range = data_range or (float(means.min()) - spread, float(means.max()) + spread)
        # that of a single point is empty, which is for those who need a width to refuse
        if data_range is not None and not data_range[0] < data_range[1]:
            raise ValueError(f"mixture: expected data_range low < high, got {data_range}")

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return E[x0 | x0 + sigma n = x] for x ``(*batch, *image)``, sigma 0-dim or ``batch``."""
        z, variance = self._coordinates(x), self._variance(x, sigma)
        shrunk = self._values / variance * z
        means = torch.einsum("kij,...kj->...ki", self._vectors, shrunk) + self.means.flatten(1)
        responsibility = self._component_log_prob(z, variance).softmax(-1)
        mean = (responsibility.unsqueeze(-1) * means).sum(-2)
        return mean.reshape(x.shape).to(x.dtype)

    def log_prob(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """Return the log density of x0 + sigma n, shape ``batch``; for sigma = 0 of x0 itself."""
        z = self._coordinates(x)
        return self._component_log_prob(z, self._variance(x, torch.as_tensor(sigma))).logsumexp(-1)

    def responsibilities(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """Return P(component | x0 + sigma n = x), shape ``(*batch, K)``."""
        variance = self._variance(x, torch.as_tensor(sigma))
        return self._component_log_prob(self._coordinates(x), variance).softmax(-1)

    def sample(self, num_samples: int, *, generator: torch.Generator) -> Tensor:
        """Draw ``(num_samples, *image_shape)``."""
        kwargs = {"generator": generator, "device": self.means.device}
        k = torch.multinomial(self.weights, num_samples, replacement=True, generator=generator)
        n = self._values.shape[-1]
        z = torch.randn(num_samples, n, dtype=self.means.dtype, **kwargs)  # type: ignore[call-overload]
        noise = torch.einsum("sij,sj->si", self._vectors[k], self._values[k].sqrt() * z)
        return (self.means[k].flatten(1) + noise).reshape(num_samples, *self.image_shape)

    def mean(self) -> Tensor:
        """Return E[x], shape ``image_shape``."""
        return torch.einsum("k,k...->...", self.weights, self.means)

    def covariance(self) -> Tensor:
        """Return the covariance of the flattened x, (n, n)."""
        offset = (self.means - self.mean()).flatten(1)
        between = torch.einsum("k,ki,kj->ij", self.weights, offset, offset)
        return torch.einsum("k,kij->ij", self.weights, self.covariances) + between

    def posterior(self, likelihood: Likelihood) -> GaussianMixturePrior:
        r"""Return p(x | y) for one problem with Gaussian noise: again a mixture.

        .. math:: C'_k = C_k - G_k A C_k,\quad m'_k = m_k + G_k (y - A m_k),\quad
            G_k = C_k A^T (A C_k A^T + \sigma^2)^{-1},\quad w'_k \propto w_k N(y; A m_k, A C_k A^T
            + \sigma^2)

        Raises:
            ValueError: Other noise, several problems, or a prior of another shape.
        """
        matrix, y, sigma = observation(self.image_shape, self.means, likelihood)
        residual = y - self.means.flatten(1) @ matrix.T
        cross = self.covariances @ matrix.T
        noise = sigma**2 * torch.eye(matrix.shape[0], dtype=matrix.dtype, device=matrix.device)
        factor = torch.linalg.cholesky(matrix @ cross + noise)
        gain = torch.cholesky_solve(cross.mT, factor).mT
        means = self.means.flatten(1) + (gain @ residual.unsqueeze(-1)).squeeze(-1)
        covariances = self.covariances - gain @ cross.mT
        white = torch.linalg.solve_triangular(factor, residual.unsqueeze(-1), upper=False)
        log_det = torch.diagonal(factor, dim1=1, dim2=2).log().sum(-1)
        log_weights = self.weights.log() - (white**2).sum((1, 2)) / 2 - log_det
        return GaussianMixturePrior(
            # what precise data rule out may underflow, and a weight must be positive
            log_weights.softmax(0).clamp(min=torch.finfo(log_weights.dtype).tiny),
            means.reshape(self.means.shape),
            (covariances + covariances.mT) / 2,
        )

    def _coordinates(self, x: Tensor) -> Tensor:
        """Return V_k^T (x - m_k), shape ``(*batch, K, n)``.

        Raises:
            ValueError: Complex images, whose imaginary part would be lost.
        """
        if x.is_complex():
            raise ValueError(f"prior: expected real images, got {x.dtype}")
        flat = x.reshape(*x.shape[: x.ndim - len(self.image_shape)], 1, -1).to(self.means)
        return torch.einsum("kij,...ki->...kj", self._vectors, flat - self.means.flatten(1))

    def _variance(self, x: Tensor, sigma: Tensor) -> Tensor:
        sigma = sigma.to(self.means)
        return self._values + (sigma.reshape(*sigma.shape, 1, 1) if sigma.ndim else sigma) ** 2

    def _component_log_prob(self, z: Tensor, variance: Tensor) -> Tensor:
        """Return log w_k N(x; m_k, C_k + sigma^2), shape ``(*batch, K)``."""
        terms = z**2 / variance + variance.log() + math.log(2 * math.pi)
        return self.weights.log() - terms.sum(-1) / 2


class GaussianPrior(GaussianMixturePrior):
    """N(mean, covariance), a mixture of one.

    Args:
        mean: Shape ``image_shape``.
        covariance: Shape ``(n, n)``, or a positive number for that multiple of the identity.
        data_range: By default four standard deviations about the lowest and the highest mean.
    """

    def __init__(
        self,
        mean: Tensor,
        covariance: Tensor | float,
        *,
        data_range: tuple[float, float] | None = None,
    ) -> None:
        if not isinstance(covariance, Tensor):
            covariance = covariance * torch.eye(mean.numel(), dtype=mean.dtype, device=mean.device)
        super().__init__(
            mean.new_ones(1), mean.unsqueeze(0), covariance.unsqueeze(0), data_range=data_range
        )


def observation(
    image_shape: tuple[int, ...], like: Tensor, likelihood: Likelihood
) -> tuple[Tensor, Tensor, float]:
    """Return the dense real A, the flat y and sigma of one problem, in the type of ``like``.

    Raises:
        ValueError: Other noise, several problems, or an operator on images of another shape.
    """
    noise, operator = likelihood.noise, likelihood.operator
    if not isinstance(noise, GaussianNoise) or likelihood.batch_shape:
        raise ValueError("posterior: known for one problem with Gaussian noise only")
    if operator.in_shape != image_shape or operator.in_complex:
        raise ValueError(
            f"posterior: the prior has images of {image_shape}, the operator takes "
            f"{operator.in_shape} (complex={operator.in_complex})"
        )
    matrix, y = to_dense(operator), likelihood.y.flatten()
    if matrix.is_complex():  # as many real equations
        matrix, y = torch.cat([matrix.real, matrix.imag]), torch.cat([y.real, y.imag])
    return matrix.to(like.dtype), y.to(like), noise.sigma
