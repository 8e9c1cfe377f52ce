"""Components of a pair of ends in eigenvectors that the covariances of both ends share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.interpolants.components import Components, DenseComponents, Terms, check_positive

__all__ = ["CommutingComponents", "commuting"]


@dataclass(frozen=True, eq=False)
class CommutingComponents(Components):
    """Covariances of both ends with the same eigenvectors: no factorisation at any time.

    Args:
        log_weights: ``(K,)``.
        mean0: In the eigenvectors, ``(K, n)``.
        mean1: The same.
        values0: Eigenvalues of Cov(x0), ``(K, n)``.
        values1: Of Cov(x1).
        vectors: ``(K, n, n)``, or ``(1, n, n)`` if all components have the same.
    """

    log_weights: Tensor
    mean0: Tensor
    mean1: Tensor
    values0: Tensor
    values1: Tensor
    vectors: Tensor

    def coordinates(self, x: Tensor) -> Tensor:
        """Return V^T x, by one product for all components."""
        count, n = self.vectors.shape[:2]
        turned = x @ self.vectors.permute(1, 0, 2).reshape(n, -1)
        return turned.reshape(*x.shape[:-1], count, n)

    def mixed(self, parts: Tensor) -> Tensor:
        """Return the sum of V y."""
        if len(self.vectors) == 1:
            parts = parts.sum(-2, keepdim=True)
        return parts.flatten(-2) @ self.vectors.mT.flatten(0, 1)

    def solve(self, terms: Terms, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the solution and log det."""
        values = self._values(terms)
        check_positive(values)
        return y / values, values.log().sum(-1)

    def apply(self, terms: Terms, y: Tensor) -> Tensor:
        """Return the product."""
        return self._values(terms) * y

    def _values(self, terms: Terms) -> Tensor:
        w = Terms(*(part.reshape(*part.shape, 1, 1) for part in terms))
        return w.base * self.values0 + w.target * self.values1 + w.noise


def commuting(components: DenseComponents) -> CommutingComponents | None:
    """Return components of independent ends in common eigenvectors; None if there are none."""
    c0, c1 = components.covariance0, components.covariance1
    if components.cross is not None:
        return None
    one = _common_eigenvectors(torch.cat([c0, c1]))
    vectors = _pairwise_eigenvectors(c0, c1) if one is None else one.unsqueeze(0)
    if vectors is None:
        return None
    every = vectors.expand_as(c1)
    return CommutingComponents(
        components.log_weights,
        mean0=torch.einsum("kij,ki->kj", every, components.mean0),
        mean1=torch.einsum("kij,ki->kj", every, components.mean1),
        values0=_diagonal(vectors, c0).clamp(min=0),
        values1=_diagonal(vectors, c1).clamp(min=0),
        vectors=vectors,
    )


def _pairwise_eigenvectors(c0: Tensor, c1: Tensor) -> Tensor | None:
    found = []
    for pair in zip(c0, c1, strict=True):
        vectors = _common_eigenvectors(torch.stack(pair))
        if vectors is None:
            return None
        found.append(vectors)
    return torch.stack(found)


def _common_eigenvectors(matrices: Tensor) -> Tensor | None:
    """Return eigenvectors of a sum, if every one of the matrices ``(J, n, n)`` has them."""
    scale = torch.diagonal(matrices, dim1=1, dim2=2).amax(1).clamp(min=1e-300).reshape(-1, 1, 1)
    unit = matrices / scale
    # weights without a common divisor, so that different eigenvalues seldom add up to the same
    weights = 1 + (torch.arange(1, len(matrices) + 1) * math.sqrt(2)).frac().to(matrices)
    vectors = torch.linalg.eigh(torch.einsum("j,jab->ab", weights, unit))[1]
    turned = vectors.mT @ unit @ vectors
    rest = turned - torch.diag_embed(torch.diagonal(turned, dim1=1, dim2=2))
    tolerance = 10 * matrices.shape[-1] * torch.finfo(matrices.dtype).eps
    return vectors if bool((rest.abs() <= tolerance).all()) else None


def _diagonal(vectors: Tensor, matrices: Tensor) -> Tensor:
    return torch.diagonal(vectors.mT @ matrices @ vectors, dim1=-2, dim2=-1)
