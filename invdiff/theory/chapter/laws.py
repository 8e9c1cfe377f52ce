"""The small laws on which facts are checked, and the numbers that they are made of."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianMixturePrior, GaussianPrior
from invdiff.rng import derive_generator
from operators import GaussianNoise, Matrix

__all__ = [
    "MEANS",
    "ROUNDING",
    "VARIANCES",
    "WEIGHTS",
    "correlated",
    "gaussian",
    "likelihood_of",
    "line",
    "normals",
    "points",
    "signs",
    "tensor",
    "three_modes",
    "three_modes_on_the_line",
    "two_modes",
]  # fmt: skip

ROUNDING = "rounding in double precision"
# of the two modes on the line
WEIGHTS, MEANS, VARIANCES = torch.tensor(
    [[0.3, 0.7], [-1.5, 1.0], [0.04, 0.25]], dtype=torch.float64
)


def tensor(values: object) -> Tensor:
    """Return numbers as a tensor in double precision."""
    return torch.tensor(values, dtype=torch.float64)


def points(low: float, high: float, count: int) -> Tensor:
    """Return equally spaced numbers in double precision, ``(count,)``."""
    return torch.linspace(low, high, count, dtype=torch.float64)


def line(low: float, high: float, count: int) -> Tensor:
    """Return equally spaced images of one number, ``(count, 1)``."""
    return points(low, high, count).unsqueeze(1)


def normals(key: str, *shape: int) -> Tensor:
    """Draw standard normals in double precision from the stream of that fact."""
    return torch.randn(shape, generator=derive_generator(0, key), dtype=torch.float64)


def gaussian(mean: float, variance: float) -> GaussianPrior:
    """Return a normal law of one number."""
    return GaussianPrior(tensor([mean]), variance)


def signs() -> GaussianMixturePrior:
    """Return the law of one number that is -1 or 1, equally often."""
    covariances = torch.zeros(2, 1, 1, dtype=torch.float64)
    return GaussianMixturePrior(tensor([0.5, 0.5]), tensor([[-1.0], [1.0]]), covariances)


def two_modes() -> GaussianMixturePrior:
    """Return 0.3 N(-1.5, 0.2^2) + 0.7 N(1, 0.5^2), of one number."""
    return GaussianMixturePrior(WEIGHTS, MEANS.unsqueeze(1), VARIANCES.reshape(2, 1, 1))


def correlated() -> GaussianPrior:
    """Return a Gaussian of two numbers that are correlated."""
    return GaussianPrior(tensor([1.0, -0.5]), tensor([[1.5, 0.9], [0.9, 0.8]]))


def three_modes_on_the_line() -> GaussianMixturePrior:
    """Return three modes of one number, of which a datum near 0.4 prefers the middle one."""
    means, variances = tensor([[-1.5], [0.3], [1.8]]), tensor([0.5, 0.4, 0.4]) ** 2
    return GaussianMixturePrior(tensor([0.5, 0.3, 0.2]), means, variances.reshape(3, 1, 1))


def three_modes() -> GaussianMixturePrior:
    """Return three round modes of two numbers and of different weight."""
    return GaussianMixturePrior(
        tensor([0.5, 0.3, 0.2]),
        tensor([[-1.5, 0.0], [1.0, 1.0], [0.5, -2.0]]),
        torch.stack([0.3 * torch.eye(2, dtype=torch.float64)] * 3),
    )


def likelihood_of(matrix: list[list[float]], y: list[float], noise: float) -> Likelihood:
    """Return the likelihood of measurements y by a matrix, with noise of a standard deviation."""
    return Likelihood(Matrix(tensor(matrix)), GaussianNoise(noise), tensor(y))
