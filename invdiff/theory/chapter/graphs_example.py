"""Gaussian graphs on which the systems of SDEs are checked."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from invdiff.graphs import (
    GaussianGraphs,
    GraphIntegrator,
    GraphState,
    GraphSystem,
    from_pairs,
    to_pairs,
)
from invdiff.rng import Streams, derive_generator
from invdiff.theory.chapter.affine import UnitDraws

__all__ = [
    "SIDE",
    "coordinates",
    "covariance",
    "gaussian_graphs",
    "law_of",
    "mean",
    "noisy_law",
    "state",
]

_NUM_NODES, _NUM_FEATURES = 3, 2
# of the features; what follows are the pairs
SIDE = _NUM_NODES * _NUM_FEATURES
_SIZE = SIDE + _NUM_NODES * (_NUM_NODES - 1) // 2


def mean() -> Tensor:
    """Return the mean of features and pairs, ``(9,)``."""
    generator = derive_generator(0, "gaussian-graphs", "mean")
    return torch.randn(_SIZE, generator=generator, dtype=torch.float64)


def covariance() -> Tensor:
    """Return their covariance, ``(9, 9)``, in which both sides depend on each other."""
    generator = derive_generator(0, "gaussian-graphs", "covariance")
    root = torch.randn(_SIZE, _SIZE, generator=generator, dtype=torch.float64) / _SIZE**0.5
    return root @ root.T + 0.2 * torch.eye(_SIZE, dtype=torch.float64)


def noisy_law(time: float) -> MultivariateNormal:
    """Return the law at a time by hand, features under VP noise and pairs under VE noise."""
    beta_min, beta_max, sigma_min, sigma_max = 0.1, 1.0, 0.1, 1.0
    kept = math.exp(-(time * beta_min + time**2 * (beta_max - beta_min) / 2) / 2)
    factor, variance = torch.ones_like(mean()), torch.ones_like(mean())
    factor[:SIDE], variance[:SIDE] = kept, 1 - kept**2
    variance[SIDE:] = (sigma_min * (sigma_max / sigma_min) ** time) ** 2
    spread = factor[:, None] * covariance() * factor + torch.diag(variance)
    return MultivariateNormal(factor * mean(), spread)


def gaussian_graphs(spread: Tensor, system: GraphSystem) -> GaussianGraphs:
    """Return the graphs with a covariance ``(9, 9)``, and their scores under a system."""
    return GaussianGraphs(mean(), spread, _NUM_NODES, _NUM_FEATURES, system)


def state(x: Tensor) -> GraphState:
    """Return graphs of coordinates ``(batch, 9)``."""
    nodes, pairs = x.tensor_split([SIDE], -1)
    mask = torch.ones(len(x), _NUM_NODES, dtype=torch.bool)
    shape = (len(x), _NUM_NODES, _NUM_FEATURES)
    return GraphState(nodes.reshape(shape), from_pairs(pairs, _NUM_NODES), mask)


def coordinates(graphs: GraphState) -> Tensor:
    """Return the coordinates of graphs, ``(batch, 9)``."""
    return torch.cat([graphs.nodes.flatten(-2), to_pairs(graphs.adjacency)], -1)


def law_of(
    integrator: GraphIntegrator, scores: GaussianGraphs, draws_per_step: int, num_steps: int
) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of what an integrator makes of the law at time 1.

    Each graph of the batch gets one unit of one source of chance, as every step is affine.

    Args:
        integrator: The way back in time.
        scores: Their law at time 1 is the start.
        draws_per_step: Numbers that a step draws for a graph.
        num_steps: Of the integrator.
    """
    start_mean, start_covariance = scores.marginal(torch.ones((), dtype=torch.float64))
    root = torch.linalg.cholesky(start_covariance)
    rest = torch.zeros(draws_per_step * num_steps, _SIZE, dtype=torch.float64)
    start = start_mean + torch.cat([torch.zeros_like(root[:1]), root.T, rest])
    noise = cast("Streams", UnitDraws(len(start), 1 + _SIZE))
    ends = coordinates(integrator.run(scores, state(start), noise))
    moved = ends[1:] - ends[0]
    return ends[0], moved.T @ moved
