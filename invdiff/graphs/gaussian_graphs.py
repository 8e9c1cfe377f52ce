"""Jointly Gaussian graphs: all that a sampler of graphs has to find is known in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.graphs.schedules import Schedule
from invdiff.graphs.state import GraphState, from_pairs, to_pairs
from invdiff.graphs.system import GraphSystem
from invdiff.rng import problem_streams

__all__ = ["GaussianGraphs"]


class GaussianGraphs:
    r"""Graphs whose features and adjacency are jointly Gaussian, with their exact scores.

    The coordinates are the features, row by row, and then the pairs i < j. At time t

    .. math:: x_t \sim N(m_t, C_t), \quad m_t = a_t m, \quad C_t = a_t C a_t + s_t^2, \quad
        \nabla \log p_t(x) = -C_t^{-1} (x - m_t)

    with the diagonal matrices :math:`a_t, s_t` of the two schedules; the partial scores are the
    blocks of the last. An instance is a ``PartialScores``. Every graph has all of its nodes.

    Args:
        mean: m, shape ``(d,)``, :math:`d = N F + N (N - 1) / 2`.
        covariance: C, shape ``(d, d)``, symmetric and positive definite.
        num_nodes: N.
        num_features: F.
        system: The SDEs, with any two schedules.

    Raises:
        ValueError: Another shape, or a covariance that isn't symmetric positive definite.
    """

    def __init__(
        self,
        mean: Tensor,
        covariance: Tensor,
        num_nodes: int,
        num_features: int,
        system: GraphSystem,
    ) -> None:
        size = num_nodes * num_features + num_nodes * (num_nodes - 1) // 2
        if mean.shape != (size,) or covariance.shape != (size, size):
            raise ValueError(
                f"GaussianGraphs: expected shapes ({size},) and ({size}, {size}), got "
                f"{tuple(mean.shape)} and {tuple(covariance.shape)}"
            )
        self.mean, self.covariance = mean.double(), covariance.double()
        symmetric = torch.allclose(self.covariance, self.covariance.mT)
        if not (symmetric and torch.linalg.eigvalsh(self.covariance).min() > 0):
            raise ValueError("GaussianGraphs: the covariance isn't symmetric positive definite")
        self.num_nodes, self.num_features, self.system = num_nodes, num_features, system

    def marginal(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and covariance at time t, ``(*batch, d)`` and ``(*batch, d, d)``; float64.

        Args:
            t: Time in [0, 1], 0-dimensional or ``batch``.
        """
        scale, std = self._per_coordinate(t, "scale"), self._per_coordinate(t, "std")
        covariance = scale.unsqueeze(-1) * self.covariance * scale.unsqueeze(-2)
        return scale * self.mean, covariance + torch.diag_embed(std**2)

    def __call__(self, state: GraphState, t: Tensor) -> GraphState:
        """Return the partial scores at time t, computed in float64."""
        mean, covariance = self.marginal(t)
        # unchecked: a check would wait for the device
        factor, _ = torch.linalg.cholesky_ex(covariance)
        difference = (self._coordinates(state).double() - mean).unsqueeze(-2)
        score = -(difference @ torch.cholesky_inverse(factor)).squeeze(-2)
        return self._graph(score.to(state.nodes.dtype), state.mask)

    def sample(self, num_graphs: int, t: Tensor, *, generator: torch.Generator) -> GraphState:
        """Draw graphs at time t, each with a stream of its own; float64.

        Args:
            num_graphs: At least 1.
            t: Time in [0, 1], 0-dimensional.
            generator: Source of the streams.
        """
        mean, covariance = self.marginal(t)
        streams = problem_streams(generator, num_graphs, ())
        draws = streams.normal(self.mean.shape, self.mean)
        mask = torch.ones(num_graphs, self.num_nodes, dtype=torch.bool, device=mean.device)
        return self._graph(mean + draws @ torch.linalg.cholesky(covariance).mT, mask)

    def _per_coordinate(self, t: Tensor, name: str) -> Tensor:
        """Return what a method of the schedules tells, for each coordinate ``(*batch, d)``."""
        t = t.to(self.mean)

        def repeated(schedule: Schedule, count: int) -> Tensor:
            value: Tensor = getattr(schedule, name)(t)
            return value.unsqueeze(-1).expand(*t.shape, count)

        features = self.num_nodes * self.num_features
        pairs = len(self.mean) - features
        sides = [repeated(self.system.nodes, features), repeated(self.system.adjacency, pairs)]
        return torch.cat(sides, -1)

    def _coordinates(self, state: GraphState) -> Tensor:
        return torch.cat([state.nodes.flatten(-2), to_pairs(state.adjacency)], -1)

    def _graph(self, coordinates: Tensor, mask: Tensor) -> GraphState:
        shape = (self.num_nodes, self.num_features)
        nodes, pairs = coordinates.tensor_split([self.num_nodes * self.num_features], -1)
        return GraphState(
            nodes.reshape(*nodes.shape[:-1], *shape), from_pairs(pairs, self.num_nodes), mask
        )
