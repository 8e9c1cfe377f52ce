"""Exact distributions of a few linear functions of the image."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.priors import GaussianMixturePrior, SubspacePrior
from invdiff.priors.subspace import component_covariances
from invdiff.theory.diffused import ExactPrior

__all__ = ["cdf", "marginal", "quantiles"]

# halvings of the bracket: below the rounding of float64
_BISECTIONS = 60


def marginal(exact: ExactPrior, matrix: Tensor) -> GaussianMixturePrior:
    r"""Return the distribution of L x: the mixture of :math:`N(L m_k, L C_k L^T)`.

    Args:
        exact: Distribution of x with n numbers.
        matrix: L, shape ``(r, n)``: rows of the identity pick pixels.

    Raises:
        ValueError: A matrix for another number of pixels.
    """
    if matrix.ndim != 2 or matrix.shape[1] != exact.mean().numel():
        raise ValueError(
            f"marginal: expected a matrix (r, {exact.mean().numel()}), got {tuple(matrix.shape)}"
        )
    if isinstance(exact, SubspacePrior):
        inner = marginal(exact.latent, matrix.to(exact.basis) @ exact.basis)
        shift = matrix.to(exact.offset) @ exact.offset.flatten()
        return GaussianMixturePrior(inner.weights, inner.means + shift, inner.covariances)
    matrix = matrix.to(exact.means)
    covariances = matrix @ component_covariances(exact) @ matrix.mT
    covariances = covariances.expand(len(exact.weights), -1, -1)
    return GaussianMixturePrior(
        exact.weights, exact.means.flatten(1) @ matrix.mT, (covariances + covariances.mT) / 2
    )


def cdf(exact: GaussianMixturePrior, u: Tensor) -> Tensor:
    """Return P(x <= u) of a mixture on the line, in the shape of u; float64.

    Raises:
        ValueError: The mixture is not of images of shape (1,).
    """
    if exact.image_shape != (1,):
        raise ValueError(f"cdf: expected a mixture of shape (1,), got {exact.image_shape}")
    std = exact.covariances.flatten().sqrt()
    z = (u.unsqueeze(-1).to(exact.means) - exact.means.flatten()) / std
    return torch.special.ndtr(z) @ exact.weights


def quantiles(exact: GaussianMixturePrior, probabilities: Tensor) -> Tensor:
    """Return where the distribution function of a mixture on the line has these values.

    Args:
        exact: Of images of shape (1,).
        probabilities: Strictly between 0 and 1.

    Raises:
        ValueError: The mixture is not on the line, or a probability out of range.
    """
    if not bool(((probabilities > 0) & (probabilities < 1)).all()):
        raise ValueError("quantiles: expected probabilities strictly between 0 and 1")
    std, means = exact.covariances.flatten().sqrt(), exact.means.flatten()
    # a mixture's quantile lies between those of its components
    parts = means + std * torch.special.ndtri(probabilities.to(means)).unsqueeze(-1)
    low, high = parts.amin(-1), parts.amax(-1)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        above = cdf(exact, middle) >= probabilities.to(means)
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return (low + high) / 2
