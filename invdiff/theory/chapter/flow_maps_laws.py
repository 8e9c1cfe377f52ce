"""Gaussians and points that the facts of flow maps share."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.interpolants.interpolant import OneSided
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.priors import GaussianPrior
from invdiff.theory.chapter.score_based_laws import tensor

__all__ = ["MEAN", "SPREAD", "from_noise", "power", "sigma_points"]

MEAN = tensor([1.0, -0.5])
SPREAD = tensor([[1.8, 0.7], [0.7, 0.5]])


def from_noise() -> MixtureProcess:
    """Return the rectified flow from white noise, at time 0, to N(MEAN, SPREAD), at time 1."""
    return MixtureProcess(OneSided(), GaussianPrior(MEAN, SPREAD))


def power(matrix: Tensor, exponent: float) -> Tensor:
    """Return a power of a symmetric positive matrix, ``(*batch, n, n)``."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.unsqueeze(-2) ** exponent) @ vectors.mT


def sigma_points(count: int) -> Tensor:
    """Return ``2 count`` points of mean 0 and covariance 1: exact means of squares."""
    eye = count**0.5 * torch.eye(count, dtype=torch.float64)
    return torch.cat([eye, -eye])
