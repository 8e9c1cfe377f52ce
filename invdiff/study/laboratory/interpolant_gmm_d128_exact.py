"""The exact backward SDE of the mixture, in the axes of its components: many calls are cheap."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invdiff.interpolants.interpolant import Interpolant
from invdiff.priors.gaussian import GaussianMixturePrior

__all__ = ["MixtureAxes"]


class MixtureAxes:
    """Log density and backward drift of an interpolant from standard normal numbers to a mixture.

    The same process as ``MixtureProcess``, but of one decomposition for all times.

    Args:
        interpolant: Any kind; its base, if it has one, is standard normal.
        target: Law of x1.
        dtype: Of the arithmetic.
    """

    def __init__(
        self,
        interpolant: Interpolant,
        target: GaussianMixturePrior,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.interpolant, self._target = interpolant, target
        values, vectors = torch.linalg.eigh(target.covariances)
        self._values, self._means = values.to(dtype), target.means.flatten(1).to(dtype)
        # (dim, components * dim): all axes of all components
        self._axes = vectors.movedim(0, 1).flatten(1).to(dtype)
        self._centres = torch.einsum("kij,ki->kj", vectors.to(dtype), self._means)
        self._log_weights = target.weights.log().to(dtype)

    def __call__(self, x: Tensor, t: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
        """Return log rho ``batch`` and b - epsilon s, for x ``(*batch, dim)``, t 0-dimensional."""
        c = self.interpolant.at(t).expanded(self._means)
        of_identity = c.alpha**2 + c.gamma**2
        variance = of_identity + c.beta**2 * self._values
        half = c.alpha * c.alpha_dot + c.gamma_product + c.beta * c.beta_dot * self._values
        y = (x @ self._axes).unflatten(-1, variance.shape) - c.beta * self._centres
        constant = variance.shape[-1] * math.log(2 * math.pi)
        log_prob = -((y**2 / variance).sum(-1) + variance.log().sum(-1) + constant) / 2
        log_parts = self._log_weights + log_prob
        r = log_parts.softmax(-1)
        # b = m' + C'/2 C^-1 (x - m), s = -C^-1 (x - m)
        slopes = r.unsqueeze(-1) * (half + epsilon) / variance * y
        drift = slopes.flatten(-2) @ self._axes.mT + r @ (c.beta_dot * self._means)
        return log_parts.logsumexp(-1), drift

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return b."""
        return self(x, t, 0.0)[1]

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """Return s."""
        return self.both(x, t)[1]

    def both(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return b and s."""
        b = self.velocity(x, t)
        return b, self(x, t, -1.0)[1] - b

    def sample(self, num_samples: int, t: Tensor, *, generator: torch.Generator) -> Tensor:
        """Draw x_t for a 0-dimensional t, ``(num_samples, dim)``."""
        x1 = self._target.sample(num_samples, generator=generator).to(self._means)
        x0, z = torch.randn((2, *x1.shape), generator=generator, dtype=x1.dtype)
        return self.interpolant.point(t, x0 if self.interpolant.has_x0 else None, x1, z)
