"""Kernels between descriptors of graphs: Gaussians of three distances."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

__all__ = ["GaussianEMD", "GaussianL2", "GaussianTV", "GraphKernel"]

FloatArray = NDArray[np.float64]


class GraphKernel(Protocol):
    """A kernel of two sets of descriptors, each a row."""

    def __call__(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return the values ``(n, m)`` for rows ``(n, k)`` and ``(m, k)``."""
        ...


@dataclass(frozen=True)
class GaussianEMD:
    r"""A Gaussian of the earth mover's distance of histograms on a line, :cite:t:`you2018`.

    .. math:: k(p, q) = e^{-W^2 / 2 \sigma^2}, \qquad
        W = h \sum_i \Bigl| \sum_{j \le i} (p_j - q_j) \Bigr|

    The distance is exact for histograms of the same mass. This kernel needn't be positive
    definite.

    Args:
        sigma: Scale of the distance.
        bin_width: h, distance of neighbouring bins.

    Raises:
        ValueError: A number that isn't positive.
    """

    sigma: float
    bin_width: float = 1.0

    def __post_init__(self) -> None:
        _check_positive(self.sigma, self.bin_width)

    def __call__(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return the values ``(n, m)`` for rows ``(n, k)`` and ``(m, k)`` of sum 1."""
        distance = self.bin_width * cdist(x.cumsum(1), y.cumsum(1), "cityblock")
        return _gaussian(distance, self.sigma)


@dataclass(frozen=True)
class GaussianTV:
    r"""A Gaussian of half the sum of differences, the total variation :cite:p:`liao2019`.

    .. math:: k(p, q) = e^{-V^2 / 2 \sigma^2}, \qquad V = \tfrac12 \sum_i |p_i - q_i|

    It needn't be positive definite.

    Args:
        sigma: Scale of the distance.

    Raises:
        ValueError: It isn't positive.
    """

    sigma: float

    def __post_init__(self) -> None:
        _check_positive(self.sigma)

    def __call__(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return the values ``(n, m)`` for rows ``(n, k)`` and ``(m, k)``."""
        return _gaussian(cdist(x, y, "cityblock") / 2, self.sigma)


@dataclass(frozen=True)
class GaussianL2:
    r"""The Gaussian kernel, :math:`e^{-|x - y|^2 / 2 \sigma^2}`.

    Args:
        sigma: Scale of the distance.

    Raises:
        ValueError: It isn't positive.
    """

    sigma: float

    def __post_init__(self) -> None:
        _check_positive(self.sigma)

    def __call__(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return the values ``(n, m)`` for rows ``(n, k)`` and ``(m, k)``."""
        return _gaussian(cdist(x, y), self.sigma)


def _gaussian(distance: FloatArray, sigma: float) -> FloatArray:
    return np.exp(-((distance / sigma) ** 2) / 2)


def _check_positive(*values: float) -> None:
    if not all(0 < value < math.inf for value in values):
        raise ValueError(f"graph kernel: expected positive numbers, got {values}")
