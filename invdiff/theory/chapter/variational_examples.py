"""The small laws on which the facts of the variational view are checked."""

from __future__ import annotations

import math

import torch
from numpy.polynomial.hermite_e import hermegauss
from torch import Tensor

from invdiff.interpolants import OneSided
from invdiff.interpolants.paths import TrigonometricPath
from invdiff.priors import GaussianMixturePrior, GaussianPrior
from invdiff.samplers import linear_beta_sigmas

__all__ = ["DIFFUSION", "ROUNDING", "chain_times", "gaussian", "line", "log_normal",
           "normal_nodes", "number", "signs", "three_modes", "two_modes"]  # fmt: skip

ROUNDING = "rounding in double precision"

# variance-preserving: x_t = sin x_1 + cos z at the angle pi t / 2, noise at t = 0
DIFFUSION = OneSided(TrigonometricPath())


def number(value: float) -> Tensor:
    """Return a 0-dimensional float64 tensor."""
    return torch.tensor(value, dtype=torch.float64)


def line(low: float, high: float, count: int) -> Tensor:
    """Return equally spaced points of an image of one number, ``(count, 1)``, float64."""
    return torch.linspace(low, high, count, dtype=torch.float64)[:, None]


def normal_nodes(count: int) -> tuple[Tensor, Tensor]:
    """Return nodes and weights of Gauss-Hermite quadrature of a standard normal, ``(count,)``."""
    nodes, weights = hermegauss(count)
    return torch.from_numpy(nodes), torch.from_numpy(weights) / math.sqrt(2 * math.pi)


def log_normal(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Return the log density of one normal number, in the shape that the three broadcast to."""
    return -((x - mean) ** 2 / variance + (2 * math.pi * variance).log()) / 2


def gaussian(mean: float, variance: float) -> GaussianPrior:
    """Return a normal law of one number."""
    return GaussianPrior(torch.tensor([mean], dtype=torch.float64), variance)


def signs() -> GaussianMixturePrior:
    """Return the law of one number that is -1 or 1, equally often."""
    means = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    covariances = torch.zeros(2, 1, 1, dtype=torch.float64)
    return GaussianMixturePrior(torch.ones(2, dtype=torch.float64), means, covariances)


def two_modes() -> GaussianMixturePrior:
    """Return 0.7 N(-1, 0.3^2) + 0.3 N(1.2, 0.5^2), of one number."""
    return GaussianMixturePrior(
        torch.tensor([0.7, 0.3], dtype=torch.float64),
        torch.tensor([[-1.0], [1.2]], dtype=torch.float64),
        torch.tensor([[[0.09]], [[0.25]]], dtype=torch.float64),
    )


def three_modes() -> GaussianMixturePrior:
    """Return a law of two numbers, of three round modes."""
    return GaussianMixturePrior(
        torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
        torch.tensor([[-1.5, 0.0], [1.0, 1.0], [0.5, -2.0]], dtype=torch.float64),
        torch.stack([0.1 * torch.eye(2, dtype=torch.float64)] * 3),
    )


def chain_times(num_steps: int) -> Tensor:
    """Return times of ``DIFFUSION`` at the levels of a linear-beta chain, increasing."""
    return (1 + linear_beta_sigmas(num_steps) ** 2).rsqrt().asin() * 2 / math.pi
