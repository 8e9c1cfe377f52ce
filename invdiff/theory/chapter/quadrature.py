"""Integrals over the line, densities and quantiles, written without the package."""

from __future__ import annotations

import math

import torch
from numpy.polynomial.hermite_e import hermegauss
from torch import Tensor

from invdiff.priors import GaussianMixturePrior

__all__ = ["SMOOTH", "exact_flow", "log_normal", "normal_nodes", "quantile",
           "share_below"]  # fmt: skip

# of torch.trapezoid on smooth peaks that lie within the nodes
SMOOTH = "a trapezoidal rule that converges faster than any power of its step"


def normal_nodes(count: int) -> tuple[Tensor, Tensor]:
    """Return nodes and weights of Gauss-Hermite quadrature of a standard normal, ``(count,)``."""
    nodes, weights = hermegauss(count)
    return torch.from_numpy(nodes), torch.from_numpy(weights) / math.sqrt(2 * math.pi)


def log_normal(x: Tensor, mean: Tensor | float, variance: Tensor | float) -> Tensor:
    """Return the log density of one normal number, in the shape that the three broadcast to."""
    variance = torch.as_tensor(variance, dtype=torch.float64)
    return -((x - mean) ** 2 / variance + (2 * math.pi * variance).log()) / 2


def share_below(law: GaussianMixturePrior, x: Tensor, sigma: float = 0.0) -> Tensor:
    """Return how much of a law on the line, under noise, lies below x, in the shape of x."""
    std = (law.covariances.flatten() + sigma**2).sqrt()
    z = (x.unsqueeze(-1) - law.means.flatten()) / std
    return (law.weights * torch.special.ndtr(z)).sum(-1)


def quantile(law: GaussianMixturePrior, share: Tensor, sigma: float = 0.0) -> Tensor:
    """Return where a law on the line has these shares below, by halving."""
    low, high = torch.full_like(share, -30.0), torch.full_like(share, 30.0)
    for _ in range(80):
        middle = (low + high) / 2
        below = share_below(law, middle, sigma) < share
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def exact_flow(law: GaussianMixturePrior, x: Tensor, high: float, low: float) -> Tensor:
    """Return where the probability flow carries x from a noise level to a lower one.

    On the line it keeps the order of points, so each stays at its quantile.
    """
    return quantile(law, share_below(law, x, high), low)
