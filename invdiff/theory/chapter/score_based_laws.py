"""Laws that the score-based facts are about, small enough to be drawn and integrated."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.priors import GaussianMixturePrior, GaussianPrior
from invdiff.rng import derive_generator

__all__ = ["ROUNDING", "correlated", "normals", "points", "quadrature", "tensor", "three_modes",
           "two_bumps"]  # fmt: skip

ROUNDING = "rounding in double precision"


def tensor(values: object) -> Tensor:
    """Return numbers as a tensor in double precision."""
    return torch.tensor(values, dtype=torch.float64)


def normals(key: str, *shape: int) -> Tensor:
    """Draw standard normals in double precision from the stream of that fact."""
    return torch.randn(shape, generator=derive_generator(0, key), dtype=torch.float64)


def points(low: float, high: float, count: int) -> Tensor:
    """Return equally spaced numbers in double precision."""
    return torch.linspace(low, high, count, dtype=torch.float64)


def quadrature(values: Tensor, nodes: Tensor) -> Tensor:
    """Return the trapezoidal rule over the last axis; smooth peaks within converge fast."""
    return torch.trapezoid(values, nodes, dim=-1)


def correlated() -> GaussianPrior:
    """Return a Gaussian in two dimensions whose coordinates are correlated."""
    return GaussianPrior(tensor([1.0, -0.5]), tensor([[1.5, 0.9], [0.9, 0.8]]))


def three_modes() -> GaussianMixturePrior:
    """Return three round modes of different weight in two dimensions."""
    return GaussianMixturePrior(
        tensor([0.5, 0.3, 0.2]),
        tensor([[-1.5, 0.0], [1.0, 1.0], [0.5, -2.0]]),
        torch.stack([0.3 * torch.eye(2, dtype=torch.float64)] * 3),
    )


def two_bumps() -> GaussianMixturePrior:
    """Return two modes on the line, of different weight and width."""
    return GaussianMixturePrior(
        tensor([0.3, 0.7]), tensor([[-1.5], [1.0]]), tensor([[[0.04]], [[0.25]]])
    )
