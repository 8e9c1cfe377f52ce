"""Exact moments of what an integrator returns on Gaussian graphs, without samples.

There every step with step sizes of its own schedule is affine in the state and in each noise, so
one batch that holds the unit vectors of all of them tells mean and covariance.
"""

import torch
from torch import Tensor

from invdiff.graphs.gaussian_graphs import GaussianGraphs
from invdiff.graphs.integrator import GraphIntegrator
from invdiff.graphs.schedules import Schedule
from invdiff.graphs.state import GraphState, from_pairs, to_pairs
from invdiff.graphs.system import GraphSystem

NODES, FEATURES = 3, 2


class UnitNoise:
    """Streams whose draws are 0 but for one entry in one row: row and entry move on together."""

    def __init__(self, num_graphs: int, first_row: int) -> None:
        self.batch_shape, self.row = (num_graphs,), first_row

    def normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        size = torch.Size(shape).numel()
        draws = torch.zeros(*self.batch_shape, size, dtype=like.dtype)
        last = max(self.row, min(self.row + size, *self.batch_shape))
        rows = torch.arange(self.row, last)
        draws[rows, rows - self.row] = 1
        self.row += size
        return draws.reshape(*self.batch_shape, *shape)


def coordinates(state: GraphState) -> Tensor:
    return torch.cat([state.nodes.flatten(-2), to_pairs(state.adjacency)], -1)


def graph(x: Tensor, num_nodes: int = NODES, num_features: int = FEATURES) -> GraphState:
    nodes, pairs = x.tensor_split([num_nodes * num_features], -1)
    mask = torch.ones(*x.shape[:-1], num_nodes, dtype=torch.bool)
    shape = (*x.shape[:-1], num_nodes, num_features)
    return GraphState(nodes.reshape(shape), from_pairs(pairs, num_nodes), mask)


def random_graphs(nodes: Schedule, adjacency: Schedule) -> GaussianGraphs:
    size = NODES * FEATURES + NODES * (NODES - 1) // 2
    generator = torch.Generator().manual_seed(1)
    root = torch.randn(size, size, generator=generator, dtype=torch.float64) / size**0.5
    mean = torch.randn(size, generator=generator, dtype=torch.float64)
    covariance = root @ root.T + 0.2 * torch.eye(size, dtype=torch.float64)
    return GaussianGraphs(mean, covariance, NODES, FEATURES, GraphSystem(nodes, adjacency))


def exact_moments(
    integrator: GraphIntegrator, graphs: GaussianGraphs, num_draws: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of the result if the start has the exact ones at time 1.

    ``num_draws`` are the numbers that a run draws for a graph; another run counts them if unknown.
    """
    mean, covariance = graphs.marginal(torch.ones((), dtype=torch.float64))
    size, shape = len(mean), (graphs.num_nodes, graphs.num_features)
    if num_draws is None:
        drawn = UnitNoise(1, 1)
        integrator.run(graphs, graph(mean[None], *shape), drawn)
        num_draws = drawn.row - 1
    units = torch.eye(size, dtype=torch.float64)
    start = mean + torch.cat([torch.zeros(1, size), units, torch.zeros(num_draws, size)])
    noise = UnitNoise(len(start), 1 + size)
    ends = coordinates(integrator.run(graphs, graph(start, *shape), noise))
    moved = ends[1:] - ends[0]
    of_start, of_noise = moved[:size], moved[size:]
    return ends[0], of_start.T @ covariance @ of_start + of_noise.T @ of_noise
