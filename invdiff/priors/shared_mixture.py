"""Mixtures whose components share one covariance: exact, and fast in many dimensions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors.gaussian import observation

__all__ = ["SharedCovarianceMixture"]

_RANGE = 4.0


class SharedCovarianceMixture:
    r"""p(x) = sum_k w_k N(x; m_k, C): the mixture of one C, at the cost of two matrix products.

    The same distribution as a ``GaussianMixturePrior`` with K equal covariances, without its
    K eigenbases; with C a multiple of the identity there is no basis at all.

    Args:
        weights: Shape ``(K,)``, positive; normalised to sum 1.
        means: Shape ``(K, *image_shape)``.
        covariance: Shape ``(n, n)``, symmetric and positive semidefinite, or a positive number
            for that multiple of the identity.

    Attributes:
        data_range: Four standard deviations about the lowest and the highest mean.

    Raises:
        ValueError: Shapes that don't fit, weights or a covariance that are not positive.
    """

    def __init__(self, weights: Tensor, means: Tensor, covariance: Tensor | float) -> None:
        count, n = means.shape[0], means[0].numel()
        if weights.shape != (count,) or not (weights > 0).all():
            raise ValueError(f"mixture: {count} means need as many positive weights, got {weights}")
        self.weights, self.means = weights / weights.sum(), means
        self.image_shape: tuple[int, ...] = tuple(means.shape[1:])
        self._vectors: Tensor | None = None
        if isinstance(covariance, Tensor):
            if covariance.shape != (n, n):
                raise ValueError(
                    f"mixture: expected a covariance ({n}, {n}), got {covariance.shape}"
                )
            self._values, self._vectors = torch.linalg.eigh(covariance)
        else:
            self._values = means.new_full((n,), covariance)
        if self._values.min() < -1e-9 * self._values.max() or self._values.max() <= 0:
            raise ValueError("mixture: the covariance must be positive")
        self._values = self._values.clamp(min=0)
        self._centres = self._turned(means.reshape(count, n))
        spread = _RANGE * float(self._values.max().sqrt())
        self.data_range = (float(means.min()) - spread, float(means.max()) + spread)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return E[x0 | x0 + sigma n = x] for x ``(*batch, *image)``, sigma 0-dim or ``batch``."""
        z, variance = self._coordinates(x), self._variance(sigma)
        centre = self._component_log_prob(z, variance).softmax(-1) @ self._centres
        mean = centre + self._values / variance * (z - centre)
        return self._back(mean).reshape(x.shape).to(x.dtype)

    def log_prob(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """Return the log density of x0 + sigma n, shape ``batch``; for sigma = 0 of x0 itself."""
        variance = self._variance(torch.as_tensor(sigma))
        return self._component_log_prob(self._coordinates(x), variance).logsumexp(-1)

    def responsibilities(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """Return P(component | x0 + sigma n = x), shape ``(*batch, K)``."""
        variance = self._variance(torch.as_tensor(sigma))
        return self._component_log_prob(self._coordinates(x), variance).softmax(-1)

    def sample(self, num_samples: int, *, generator: torch.Generator) -> Tensor:
        """Draw ``(num_samples, *image_shape)``."""
        k = torch.multinomial(self.weights, num_samples, replacement=True, generator=generator)
        z = torch.randn(
            num_samples,
            self._values.numel(),
            dtype=self.means.dtype,
            device=self.means.device,
            generator=generator,
        )
        x = self._back(self._centres[k] + self._values.sqrt() * z)
        return x.reshape(num_samples, *self.image_shape)

    def mean(self) -> Tensor:
        """Return E[x], shape ``image_shape``."""
        return torch.einsum("k,k...->...", self.weights, self.means)

    def component_covariance(self) -> Tensor:
        """Return C, (n, n)."""
        if self._vectors is None:
            return torch.diag(self._values)
        return (self._vectors * self._values) @ self._vectors.mT

    def covariance(self) -> Tensor:
        """Return the covariance of the flattened x, (n, n)."""
        offset = (self.means - self.mean()).flatten(1)
        return self.component_covariance() + (offset.mT * self.weights) @ offset

    def posterior(self, likelihood: Likelihood) -> SharedCovarianceMixture:
        """Return p(x | y) for one problem with Gaussian noise: again a mixture of one covariance.

        Raises:
            ValueError: Other noise, several problems, or a prior of another shape.
        """
        matrix, y, sigma = observation(self.image_shape, self.means, likelihood)
        covariance = self.component_covariance()
        cross = covariance @ matrix.mT
        noise = sigma**2 * torch.eye(matrix.shape[0], dtype=matrix.dtype, device=matrix.device)
        factor = torch.linalg.cholesky(matrix @ cross + noise)
        gain = torch.cholesky_solve(cross.mT, factor).mT
        residual = y - self.means.flatten(1) @ matrix.mT
        white = torch.linalg.solve_triangular(factor, residual.mT, upper=False)
        left = covariance - gain @ cross.mT
        weights = (self.weights.log() - (white**2).sum(0) / 2).softmax(0)
        return SharedCovarianceMixture(
            # what precise data rule out may underflow, and a weight must be positive
            weights.clamp(min=torch.finfo(weights.dtype).tiny),
            self.means + (residual @ gain.mT).reshape(self.means.shape),
            (left + left.mT) / 2,
        )

    def _turned(self, flat: Tensor) -> Tensor:
        return flat if self._vectors is None else flat @ self._vectors

    def _back(self, z: Tensor) -> Tensor:
        return z if self._vectors is None else z @ self._vectors.mT

    def _coordinates(self, x: Tensor) -> Tensor:
        flat = x.reshape(*x.shape[: x.ndim - len(self.image_shape)], -1)
        return self._turned(flat.to(self.means))

    def _variance(self, sigma: Tensor) -> Tensor:
        sigma = sigma.to(self.means)
        return self._values + (sigma.unsqueeze(-1) if sigma.ndim else sigma) ** 2

    def _component_log_prob(self, z: Tensor, variance: Tensor) -> Tensor:
        """Return log w_k N(x; m_k, C + sigma^2), shape ``(*batch, K)``."""
        # squares of differences expanded about a point amid the means, where little cancels
        middle = self._centres.mean(0)
        z, centres = z - middle, self._centres - middle
        scaled = z / variance
        squares = (z * scaled).sum(-1, keepdim=True) - 2 * scaled @ centres.mT
        if variance.ndim == 1:
            squares = squares + (centres**2 / variance).sum(-1)
        else:
            squares = squares + (1 / variance) @ (centres**2).mT
        log_det = (variance.log() + math.log(2 * math.pi)).sum(-1, keepdim=True)
        return self.weights.log() - (squares + log_det) / 2
