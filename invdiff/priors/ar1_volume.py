"""Gaussian volumes whose slices are a stationary chain: the oracle of everything along z."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors.gaussian import GaussianMixturePrior, GaussianPrior

__all__ = ["AR1VolumePrior", "ConditionalSlices"]

# the data range reaches this many standard deviations beyond the mean
_RANGE = 4.0


class ConditionalSlices(NamedTuple):
    """A Gaussian volume given some of its slices.

    Args:
        mean: Shape ``(*batch, num_slices, rows, columns)``; known slices at their values.
        covariance: Between the slices of one pixel of unit in-plane variance, ``(num_slices,
            num_slices)``; 0 for known slices.
    """

    mean: Tensor
    covariance: Tensor


class AR1VolumePrior:
    r"""A stationary Gaussian chain of slices; float64 unless the in-plane covariance is not.

    .. math:: \operatorname{cov}(x_{z p}, x_{z' p'}) = s^2 r^{|z - z'|} C_{p p'}

    so that every slice is r times the one before plus independent noise. Slices may be under noise
    of different levels:

    .. math:: D(x, \sigma) = m + S (S + \operatorname{diag} \sigma_z^2)^{-1} (x - m)

    with S the covariance, solved with one small matrix along z for each eigenvalue of C.

    Args:
        image_shape: (slices, rows, columns).
        correlation: r, of neighbouring slices, between -1 and 1.
        mean: m, the same for all voxels.
        std: s, positive.
        plane: C, shape ``(rows * columns, rows * columns)``, positive definite; independent pixels
            of variance 1 by default.

    Attributes:
        data_range: Four standard deviations about the mean.

    Raises:
        ValueError: A number out of its range, or a C of another shape or not positive definite.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        correlation: float,
        *,
        mean: float = 0.0,
        std: float = 1.0,
        plane: Tensor | None = None,
    ) -> None:
        if not (-1 < correlation < 1 and std > 0):
            raise ValueError(
                f"AR1VolumePrior: expected -1 < correlation < 1 and std > 0, got {correlation} "
                f"and {std}"
            )
        self.image_shape: tuple[int, ...] = tuple(image_shape)
        self.mean, self.std, self.correlation = float(mean), float(std), float(correlation)
        self._values, self._vectors = _spectrum(plane, math.prod(image_shape[1:]))
        z = torch.arange(image_shape[0], device=self._values.device)
        distance = (z[:, None] - z).abs().to(self._values)
        self._along_z = std**2 * correlation**distance
        spread = _RANGE * std * float(self._largest_variance()) ** 0.5
        self.data_range = (self.mean - spread, self.mean + spread)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return E[x0 | x0 + sigma n = x].

        Args:
            x: Shape ``(*batch, num_slices, rows, columns)``.
            sigma: 0-dimensional, one for each volume (``batch``), or one for each slice
                (``(*batch, num_slices)``); a slice at noise 0 is known and stays as it is.
        """
        clean, noisy = self._covariances(sigma, x)
        # S (S + V)^-1 = ((S + V)^-1 S)^T, of symmetric matrices
        gain = torch.linalg.solve(noisy, clean).mT
        known = self._levels(sigma, x) == 0
        shrunk = self._volume(_applied(gain, self._coordinates(x)), x) + self.mean
        return torch.where(known[..., None, None], x, shrunk.to(x.dtype))

    def sample(self, num_samples: int, *, generator: torch.Generator) -> Tensor:
        """Draw ``(num_samples, *image_shape)``."""
        shape = (num_samples, self.image_shape[0], math.prod(self.image_shape[1:]))
        n = torch.randn(shape, generator=generator, dtype=self._values.dtype)
        root = torch.linalg.cholesky(self._along_z)
        z = root @ (n.to(self._values) * self._values.sqrt())
        return self._volume(z, z.new_zeros(num_samples, *self.image_shape)) + self.mean

    def log_prob(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """Return the log density of x0 + sigma n, shape ``batch``; for sigma = 0 of x0 itself."""
        _, noisy = self._covariances(torch.as_tensor(sigma), x)
        root = torch.linalg.cholesky(noisy)
        u = self._coordinates(x)
        inverse = torch.linalg.inv(root)
        white = _applied(inverse, u)
        # one matrix for all pixels counts once for each
        each = u.shape[-1] // noisy.shape[-3]
        log_det = 2 * each * torch.diagonal(root, dim1=-2, dim2=-1).log().sum((-2, -1))
        count = math.prod(self.image_shape)
        return -((white**2).sum((-2, -1)) + log_det + count * math.log(2 * math.pi)) / 2

    def covariance_along_z(self) -> Tensor:
        """Return the covariance of the slices of a pixel of unit in-plane variance."""
        return self._along_z

    def conditional(self, known: Tensor, values: Tensor) -> ConditionalSlices:
        r"""Return the mean and the covariance given some slices.

        .. math:: m_u + S_{uk} S_{kk}^{-1} (v - m_k), \qquad S_{uu} - S_{uk} S_{kk}^{-1} S_{ku}

        The mean doesn't depend on C, and the covariance is a multiple of it.

        Args:
            known: Boolean, shape ``(num_slices,)``.
            values: v, shape ``(*batch, num_slices, rows, columns)``; unknown slices may hold
                anything.

        Raises:
            ValueError: Other shapes, or a mask that isn't boolean.
        """
        shape = self.image_shape
        if known.shape != shape[:1] or known.dtype != torch.bool or values.shape[-3:] != shape:
            raise ValueError(
                f"AR1VolumePrior: expected a boolean mask {shape[:1]} and values {shape}, got "
                f"{known.dtype} {tuple(known.shape)} and {tuple(values.shape)}"
            )
        s, known = self._along_z, known.to(self._along_z.device)
        # the identity for known slices
        gain = torch.linalg.solve(s[known][:, known], s[known]).mT
        offset = values.to(s)[..., known, :, :] - self.mean
        mean = torch.einsum("zk,...krc->...zrc", gain, offset) + self.mean
        covariance = s - gain @ s[known]
        covariance[known], covariance[:, known] = 0.0, 0.0
        mean[..., known, :, :] = values.to(s)[..., known, :, :]
        return ConditionalSlices(mean.to(values.dtype), (covariance + covariance.mT) / 2)

    def posterior(self, likelihood: Likelihood) -> GaussianMixturePrior:
        """Return p(x | y) for one problem with Gaussian noise: a Gaussian of small volumes, dense.

        Raises:
            ValueError: Other noise, several problems, or an operator on other volumes.
        """
        return self.dense().posterior(likelihood)

    def dense(self) -> GaussianPrior:
        """Return the same prior with the covariance of all voxels, for small volumes."""
        if self._vectors is None:
            plane = torch.eye(math.prod(self.image_shape[1:])).to(self._values)
        else:
            plane = self._vectors * self._values @ self._vectors.mT
        mean = self._along_z.new_full(self.image_shape, self.mean)
        covariance = torch.kron(self._along_z, plane)
        return GaussianPrior(mean, covariance, data_range=self.data_range)

    def _largest_variance(self) -> Tensor:
        if self._vectors is None:
            return self._values.max()
        return (self._vectors**2 @ self._values).max()

    def _levels(self, sigma: Tensor, x: Tensor) -> Tensor:
        """Return a level for every slice, broadcasting against ``(*batch, num_slices)``."""
        each = sigma.unsqueeze(-1) if sigma.ndim in (0, x.ndim - 3) else sigma
        return each.to(x.device)

    def _covariances(self, sigma: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return S and S + V along z for each eigenvalue of C, ``(*batch, num, slices, slices)``.

        A batch axis that has one level has one matrix.
        """
        levels = self._levels(sigma, x).to(self._values)
        clean = self._values[:, None, None] * self._along_z
        noise = torch.diag_embed((levels**2).expand(*levels.shape[:-1], self.image_shape[0]))
        return clean, clean + noise.unsqueeze(-3)

    def _coordinates(self, x: Tensor) -> Tensor:
        """Return the pixels about the mean in the basis of C, ``(*batch, slices, pixels)``."""
        u = x.flatten(-2).to(self._values) - self.mean
        return u if self._vectors is None else u @ self._vectors

    def _volume(self, u: Tensor, like: Tensor) -> Tensor:
        u = u if self._vectors is None else u @ self._vectors.mT
        return u.reshape(like.shape)


def _spectrum(plane: Tensor | None, num_pixels: int) -> tuple[Tensor, Tensor | None]:
    """Return eigenvalues and vectors of C: a single 1 and no vectors for independent pixels."""
    if plane is None:
        return torch.ones(1, dtype=torch.float64), None
    if plane.shape != (num_pixels, num_pixels):
        raise ValueError(
            f"AR1VolumePrior: expected an in-plane covariance ({num_pixels}, {num_pixels}), got "
            f"{tuple(plane.shape)}"
        )
    values, vectors = torch.linalg.eigh(plane)
    if not values.min() > 0:
        raise ValueError(
            f"AR1VolumePrior: the in-plane covariance has the eigenvalue {float(values.min())}"
        )
    return values, vectors


def _applied(matrices: Tensor, u: Tensor) -> Tensor:
    """Return the matrix of every pixel times its slices; one matrix may serve all pixels."""
    if matrices.shape[-3] == 1:
        return matrices.squeeze(-3) @ u
    return torch.einsum("...pzw,...wp->...zp", matrices, u)
