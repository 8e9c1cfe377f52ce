"""Gaussian posteriors whose ODE is known exactly, h(x_T, y) = mu(y) + S^(1/2) x_T."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from invdiff.superres.pairs import Metric, Pairs

DIMENSION = 64
# the spectrum of the closed forms: few directions carry the variance
DECAYING = torch.arange(1, DIMENSION + 1, dtype=torch.float64) ** -1.5


class ExactOde:
    """The exact map for posterior means y and posterior variances S, at ``num_calls`` calls."""

    num_calls = calls_per_image = 3

    def __init__(self, variances: Tensor) -> None:
        self.variances, self.denoiser, self.batches = variances, self, []

    def center(self, y: Tensor) -> Tensor:
        return y

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        self.batches.append(len(y))
        return y + self.variances.sqrt() * x


def exact_ode(variances: Tensor = DECAYING) -> Any:
    """Return the exact map as what the searches take for an ODE."""
    return ExactOde(variances)


def exact_pairs(count: int, generator: torch.Generator, variances: Tensor = DECAYING) -> Pairs:
    """Draw posterior means and truths around them."""
    means, errors = (
        torch.randn(count, len(variances), generator=generator, dtype=torch.float64)
        for _ in range(2)
    )
    return Pairs(means, means + variances.sqrt() * errors)


def mse_in_traces(variances: Tensor = DECAYING) -> Metric:
    """Return the squared error, in units of tr S."""
    return lambda image, truth: ((image - truth) ** 2).sum(-1) / variances.sum()


def expected_mse(x: Tensor, variances: Tensor = DECAYING) -> float:
    """Return the expectation of the squared error over all pairs, in units of tr S."""
    return float(1 + (variances * x**2).sum() / variances.sum())
