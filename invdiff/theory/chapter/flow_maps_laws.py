"""Gaussians, their maps and bridges, and points that the facts of flow maps share."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.interpolants.interpolant import OneSided
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.schroedinger_gaussian import GaussianSchroedingerBridge
from invdiff.priors import GaussianPrior
from invdiff.theory.chapter.laws import tensor

__all__ = ["MEAN", "NARROW", "SPREAD", "START", "bridge", "flow_map", "from_noise", "power"]

MEAN = tensor([1.0, -0.5])
SPREAD = tensor([[1.8, 0.7], [0.7, 0.5]])
# another end, whose covariance doesn't commute with SPREAD
START, NARROW = tensor([-1.0, 0.5]), tensor([[0.6, -0.3], [-0.3, 0.9]])


def from_noise() -> MixtureProcess:
    """Return the rectified flow from white noise, at time 0, to N(MEAN, SPREAD), at time 1."""
    return MixtureProcess(OneSided(), GaussianPrior(MEAN, SPREAD))


def bridge(variance: float) -> GaussianSchroedingerBridge:
    """Return the bridge from N(START, NARROW) to N(MEAN, SPREAD)."""
    return GaussianSchroedingerBridge(START, NARROW, MEAN, SPREAD, variance)


def flow_map(x: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """Return where that flow takes x ``(*batch, 2)`` from s to t, 0-dimensional or ``batch``."""
    values, vectors = torch.linalg.eigh(SPREAD)
    s, t = s.unsqueeze(-1), t.unsqueeze(-1)
    before, after = (1 - s) ** 2 + s**2 * values, (1 - t) ** 2 + t**2 * values
    return t * MEAN + ((after / before).sqrt() * ((x - s * MEAN) @ vectors)) @ vectors.T


def power(matrix: Tensor, exponent: float) -> Tensor:
    """Return a power of a symmetric positive matrix, ``(*batch, n, n)``."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.unsqueeze(-2) ** exponent) @ vectors.mT
