r"""Gaussian components of a pair of ends: means and covariances of sums of the ends and the noise.

With :math:`x_t = \alpha x_0 + \beta x_1 + \gamma z` of mean m and covariance C in a component,
any sum L of the ends and the noise has the mean
:math:`E[L \mid x_t] = E[L] + \mathrm{Cov}(L, x_t)\, C^{-1} (x_t - m)` there.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.interpolants.interpolant import Coefficients

__all__ = [
    "CommutingComponents",
    "Components",
    "DenseComponents",
    "Terms",
    "commuting",
    "variance_terms",
]

# numbers in the matrices of one piece of a batch, where each member has a time of its own
_PIECE = 2**22


class Terms(NamedTuple):
    """Weights of a sum of ``Cov(x0), Cov(x1), 1, Cov(x0, x1), Cov(x1, x0)``, of the shape of t."""

    base: Tensor
    target: Tensor
    noise: Tensor
    cross: Tensor
    cross_transposed: Tensor


def variance_terms(c: Coefficients) -> Terms:
    """Return the weights of Cov(x_t)."""
    both = c.alpha * c.beta
    return Terms(c.alpha**2, c.beta**2, c.gamma**2, both, both)


class Components(abc.ABC):
    """K components in coordinates in which their covariances are easy.

    Attributes:
        log_weights: ``(K,)``.
        mean0: Means of x0 in these coordinates, ``(*batch, K, n)``.
        mean1: Means of x1.
    """

    log_weights: Tensor
    mean0: Tensor
    mean1: Tensor

    @abc.abstractmethod
    def coordinates(self, x: Tensor) -> Tensor:
        """Return those of x ``(*batch, n)``, ``(*batch, K or 1, n)``."""

    @abc.abstractmethod
    def mixed(self, parts: Tensor) -> Tensor:
        """Return the sum of vectors ``(*batch, K, n)``, out of the coordinates: ``(*batch, n)``."""

    @abc.abstractmethod
    def solve(self, terms: Terms, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return C^-1 y for y ``(*batch, K, n)``, and log det C ``(*batch or (), K)``.

        Raises:
            ValueError: C is singular.
        """

    @abc.abstractmethod
    def apply(self, terms: Terms, y: Tensor) -> Tensor:
        """Return the sum of the covariances times y ``(*batch, K, n)``."""

    def mean(self, of_base: Tensor, of_target: Tensor) -> Tensor:
        """Return the means of a sum of the ends, ``(*batch, K, n)``."""
        return _over(of_base, self.mean0) + _over(of_target, self.mean1)

    def whitened(self, x: Tensor, c: Coefficients) -> tuple[Tensor, Tensor]:
        """Return C^-1 (x - m), ``(*batch, K, n)``, and log w_k N(x; m, C), ``(*batch, K)``."""
        offset = self.coordinates(x) - self.mean(c.alpha, c.beta)
        solved, log_det = self.solve(variance_terms(c), offset)
        square = (offset * solved).sum(-1)
        constant = x.shape[-1] * math.log(2 * math.pi)
        return solved, self.log_weights - (square + log_det + constant) / 2


@dataclass(frozen=True, eq=False)
class DenseComponents(Components):
    """Covariances that share no eigenvectors: a factorisation for each time.

    Args:
        log_weights: ``(K,)``.
        mean0: ``(*batch, K, n)``.
        mean1: ``(*batch, K, n)``.
        covariance0: ``(K, n, n)``.
        covariance1: ``(K, n, n)``.
        cross: Cov(x0, x1), ``(K, n, n)``; None for independent ends.
    """

    log_weights: Tensor
    mean0: Tensor
    mean1: Tensor
    covariance0: Tensor
    covariance1: Tensor
    cross: Tensor | None = None

    def coordinates(self, x: Tensor) -> Tensor:
        """Return x."""
        return x.unsqueeze(-2)

    def mixed(self, parts: Tensor) -> Tensor:
        """Return the sum."""
        return parts.sum(-2)

    def combined(self, terms: Terms) -> Tensor:
        """Return the sum of the covariances, ``(*t, K, n, n)``."""
        eye = torch.eye(self.covariance1.shape[-1]).to(self.covariance1)
        w = Terms(*(part.reshape(*part.shape, 1, 1, 1) for part in terms))
        total = w.base * self.covariance0 + w.target * self.covariance1 + w.noise * eye
        if self.cross is None:
            return total
        return total + w.cross * self.cross + w.cross_transposed * self.cross.mT

    def apply(self, terms: Terms, y: Tensor) -> Tensor:
        """Return the product; a batch of times needs no batch of matrices."""
        if not terms.base.ndim:
            return _times(self.combined(terms), y)
        parts = [(terms.base, self.covariance0), (terms.target, self.covariance1)]
        if self.cross is not None:
            parts += [(terms.cross, self.cross), (terms.cross_transposed, self.cross.mT)]
        return _over(terms.noise, y) + sum(_over(w, _times(matrix, y)) for w, matrix in parts)

    def solve(self, terms: Terms, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the solution and log det; members of one time share a factorisation."""
        if not terms.base.ndim:
            return self._solve_at(terms, y)
        batch = y.shape[:-2]
        rows = torch.stack([part.expand(batch).flatten() for part in terms], -1)
        flat = y.reshape(-1, *y.shape[-2:])
        if not len(flat):
            return y, y.sum(-1)
        solved, log_det = self._solve_rows(rows, flat)
        return solved.reshape(y.shape), log_det.reshape(y.shape[:-1])

    def _solve_rows(self, rows: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        # a gradient in t belongs to each member; only values are shared
        if not rows.requires_grad:
            distinct, which = rows.unique(dim=0, return_inverse=True)
            if 2 * len(distinct) <= len(rows):
                return self._solve_shared(distinct, which, y)
        size = max(1, _PIECE // self.covariance1.numel())
        pieces = [
            _solve_each(self.combined(Terms(*row.unbind(-1))), part)
            for row, part in zip(rows.split(size), y.split(size), strict=True)
        ]
        return torch.cat([p[0] for p in pieces]), torch.cat([p[1] for p in pieces])

    def _solve_shared(self, distinct: Tensor, which: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        order = which.argsort(stable=True)
        groups = y[order].split(which.bincount().tolist())
        pieces = [
            self._solve_at(Terms(*row), part) for row, part in zip(distinct, groups, strict=True)
        ]
        back = order.argsort()
        solved = torch.cat([piece[0] for piece in pieces])[back]
        return solved, torch.stack([piece[1] for piece in pieces])[which]

    def _solve_at(self, terms: Terms, y: Tensor) -> tuple[Tensor, Tensor]:
        """Solve at one time: all members are columns of one system for each component."""
        factor, log_det = _factor(self.combined(terms))
        columns = y.reshape(-1, *y.shape[-2:]).permute(1, 2, 0)
        solved = torch.cholesky_solve(columns, factor).permute(2, 0, 1)
        return solved.reshape(y.shape), log_det


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
        return (x @ self.vectors.permute(1, 0, 2).reshape(n, -1)).unflatten(-1, (count, n))

    def mixed(self, parts: Tensor) -> Tensor:
        """Return the sum of V y."""
        if len(self.vectors) == 1:
            parts = parts.sum(-2, keepdim=True)
        return parts.flatten(-2) @ self.vectors.mT.flatten(0, 1)

    def solve(self, terms: Terms, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the solution and log det."""
        values = self._values(terms)
        _check_positive(values)
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
    means = (
        torch.einsum("kij,ki->kj", vectors.expand_as(c1), mean)
        for mean in (components.mean0, components.mean1)
    )
    values = (_diagonal(vectors, c).clamp(min=0) for c in (c0, c1))
    return CommutingComponents(components.log_weights, *means, *values, vectors)


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


def _solve_each(covariance: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Solve with a matrix ``(batch, K, n, n)`` for each member ``(batch, K, n)``."""
    factor, log_det = _factor(covariance)
    return torch.cholesky_solve(y.unsqueeze(-1), factor).squeeze(-1), log_det


def _factor(covariance: Tensor) -> tuple[Tensor, Tensor]:
    factor, failed = torch.linalg.cholesky_ex(covariance)
    _check_positive(-failed + 1)
    return factor, 2 * torch.diagonal(factor, dim1=-2, dim2=-1).log().sum(-1)


def _check_positive(values: Tensor) -> None:
    if not (values > 0).all():
        raise ValueError(
            "expected times at which every direction has variance: the law of x_t is singular "
            "at an end, keep away from it"
        )


def _times(matrices: Tensor, y: Tensor) -> Tensor:
    """Multiply vectors ``(*batch, K, n)`` by the matrices of their components ``(K, n, n)``."""
    return torch.einsum("kij,...kj->...ki", matrices, y)


def _over(weights: Tensor, parts: Tensor) -> Tensor:
    """Multiply vectors ``(*batch, K, n)`` by weights ``t``."""
    return weights.reshape(*weights.shape, 1, 1) * parts
