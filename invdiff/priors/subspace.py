"""Distributions on a linear subspace: few coordinates in many dimensions, and still exact."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors.gaussian import GaussianMixturePrior
from invdiff.priors.shared_mixture import SharedCovarianceMixture
from operators import GaussianNoise, Matrix

__all__ = ["SubspacePrior", "component_covariances"]

_RANGE = 4.0
# rounding of a basis in float32
_ORTHONORMAL = 1e-5


class SubspacePrior:
    r"""x = m + B z with z from a Gaussian or a mixture of few dimensions; B^T B = 1.

    .. math:: D(x, \sigma) = m + B\, D_z\bigl(B^T (x - m), \sigma\bigr)

    The score is singular across the subspace as :math:`\sigma \to 0`, as that of images is.

    Args:
        offset: m, shape ``image_shape``.
        basis: B, shape ``(n, r)``, orthonormal columns (``torch.linalg.qr`` makes them).
        latent: Distribution of z, images of shape ``(r,)``.

    Attributes:
        data_range: Four standard deviations about the lowest and the highest mean of a component.

    Raises:
        ValueError: Shapes that don't fit, or columns that are not orthonormal.
    """

    def __init__(
        self, offset: Tensor, basis: Tensor, latent: GaussianMixturePrior | SharedCovarianceMixture
    ) -> None:
        rank = basis.shape[-1]
        if basis.shape != (offset.numel(), rank) or latent.image_shape != (rank,):
            raise ValueError(
                f"subspace: an offset {tuple(offset.shape)} needs a basis ({offset.numel()}, r) "
                f"and r latent numbers, got {tuple(basis.shape)} and {latent.image_shape}"
            )
        defect = basis.mT @ basis - torch.eye(rank, dtype=basis.dtype, device=basis.device)
        if defect.abs().max() > _ORTHONORMAL:
            raise ValueError(
                f"subspace: the basis is not orthonormal, B^T B - 1 reaches {defect.abs().max():g}"
            )
        self.offset, self.basis, self.latent = offset, basis, latent
        self.image_shape: tuple[int, ...] = tuple(offset.shape)
        means = offset.flatten() + latent.means @ basis.mT
        variances = torch.einsum("ni,kij,nj->kn", basis, component_covariances(latent), basis)
        spread = _RANGE * float(variances.max().sqrt())
        self.data_range = (float(means.min()) - spread, float(means.max()) + spread)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return E[x0 | x0 + sigma n = x] for x ``(*batch, *image)``, sigma 0-dim or ``batch``."""
        return self._embedded(self.latent(self._coordinates(x), sigma)).to(x.dtype)

    def log_prob(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the log density of x0 + sigma n, shape ``batch``; x0 itself has none."""
        variance = torch.as_tensor(sigma).to(self.offset) ** 2
        z = self._coordinates(x)
        across = self._flat(x) - z @ self.basis.mT
        codimension = self.basis.shape[0] - self.basis.shape[1]
        rest = (across**2).sum(-1) / variance + codimension * (2 * math.pi * variance).log()
        return self.latent.log_prob(z, sigma) - rest / 2

    def sample(self, num_samples: int, *, generator: torch.Generator) -> Tensor:
        """Draw ``(num_samples, *image_shape)``."""
        return self._embedded(self.latent.sample(num_samples, generator=generator))

    def mean(self) -> Tensor:
        """Return E[x], shape ``image_shape``."""
        return self._embedded(self.latent.mean())

    def covariance(self) -> Tensor:
        """Return the covariance of the flattened x, (n, n), of rank r."""
        return self.basis @ self.latent.covariance() @ self.basis.mT

    def responsibilities(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """Return P(component | x0 + sigma n = x), shape ``(*batch, K)``."""
        return self.latent.responsibilities(self._coordinates(x), sigma)

    def posterior(self, likelihood: Likelihood) -> SubspacePrior:
        """Return p(x | y) for one problem with Gaussian noise: on the same subspace.

        Raises:
            ValueError: Other noise, several problems, or a prior of another shape.
        """
        return SubspacePrior(
            self.offset, self.basis, self.latent.posterior(self.latent_likelihood(likelihood))
        )

    def latent_likelihood(self, likelihood: Likelihood) -> Likelihood:
        """Return p(y | z), a likelihood of r numbers; a complex y becomes twice as many real ones.

        Raises:
            ValueError: Other noise, several problems, or an operator on images of another shape.
        """
        noise, operator = likelihood.noise, likelihood.operator
        if not isinstance(noise, GaussianNoise) or likelihood.batch_shape:
            raise ValueError("posterior: known for one problem with Gaussian noise only")
        if operator.in_shape != self.image_shape or operator.in_complex:
            raise ValueError(
                f"posterior: the prior has images of {self.image_shape}, the operator takes "
                f"{operator.in_shape} (complex={operator.in_complex})"
            )
        columns = operator(self.basis.mT.reshape(-1, *self.image_shape)).flatten(1)
        y = (likelihood.y - operator(self.offset)).flatten()
        if columns.is_complex():
            columns, y = torch.cat([columns.real, columns.imag], 1), torch.cat([y.real, y.imag])
        return Likelihood(Matrix(columns.mT), noise, y)

    def _flat(self, x: Tensor) -> Tensor:
        if x.is_complex():
            raise ValueError(f"prior: expected real images, got {x.dtype}")
        flat = x.reshape(*x.shape[: x.ndim - len(self.image_shape)], -1)
        return flat.to(self.offset) - self.offset.flatten()

    def _coordinates(self, x: Tensor) -> Tensor:
        return self._flat(x) @ self.basis

    def _embedded(self, z: Tensor) -> Tensor:
        x = self.offset.flatten() + z @ self.basis.mT
        return x.reshape(*z.shape[:-1], *self.image_shape)


def component_covariances(prior: GaussianMixturePrior | SharedCovarianceMixture) -> Tensor:
    """Return the covariances of the components, (K, n, n), or (1, n, n) if they share one."""
    if isinstance(prior, SharedCovarianceMixture):
        return prior.component_covariance().unsqueeze(0)
    return prior.covariances
