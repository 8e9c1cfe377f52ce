"""Partial scores, denoisers of graphs, and how one becomes the other."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from invdiff.graphs.schedules import VE, Schedule
from invdiff.graphs.state import GraphState, flattened
from invdiff.graphs.system import GraphSystem, scaled_by

__all__ = ["DenoiserScores", "GraphDenoiser", "NetworkScores", "PartialScores", "ScoreDenoiser"]


class PartialScores(Protocol):
    r"""Gradients of the joint log density of a noisy graph, by X and by A.

    .. math:: \nabla_X \log p_t(X, A), \qquad \nabla_A \log p_t(X, A)

    The entries of A above the diagonal are its coordinates; what stands below repeats them.

    Attributes:
        system: The SDEs whose densities p_t are meant.
        num_features: F, of a node.
    """

    @property
    def system(self) -> GraphSystem: ...  # noqa: D102

    @property
    def num_features(self) -> int: ...  # noqa: D102

    def __call__(self, state: GraphState, t: Tensor) -> GraphState:
        """Return the scores at time t, 0-dimensional or one for each graph of the batch."""
        ...


class GraphDenoiser(Protocol):
    """The posterior mean of a graph whose features and pairs carry noise of one level.

    Attributes:
        num_features: F, of a node.
    """

    @property
    def num_features(self) -> int: ...  # noqa: D102

    def __call__(self, state: GraphState, sigma: Tensor) -> GraphState:
        """Return E[x0 | x0 + sigma n = x]; sigma is 0-dimensional or one for each graph."""
        ...


class NetworkScores(nn.Module):
    r"""The scores that two networks give, in the parametrisation of :cite:t:`jo2022`.

    With a scaled schedule the network tells the noise, :math:`-\mathrm{net}(X_t, A_t) / s(t)`;
    with VE its output is the score.

    Args:
        node_network: ``GraphState -> (B, N, F)``.
        adjacency_network: ``GraphState -> (B, N, N)``.
        system: What they are trained for.
        num_features: F.
    """

    def __init__(
        self,
        node_network: nn.Module,
        adjacency_network: nn.Module,
        system: GraphSystem,
        num_features: int,
    ) -> None:
        super().__init__()
        self.node_network, self.adjacency_network = node_network, adjacency_network
        self.system, self.num_features = system, num_features

    def forward(self, state: GraphState, t: Tensor) -> GraphState:
        """Return the partial scores at time t for a state of any leading shape."""
        flat = flattened(state)
        nodes = self.node_network(flat).reshape(state.nodes.shape)
        adjacency = self.adjacency_network(flat).reshape(state.adjacency.shape)
        found = GraphState(nodes, adjacency, state.mask)
        return scaled_by(found, _factor(self.system.nodes, t), _factor(self.system.adjacency, t))


class DenoiserScores:
    r"""The scores of a denoiser, :math:`(a D(x_t / a, s / a) - x_t) / s^2` on both sides.

    Args:
        denoiser: D.
        schedule: Of both sides: one level of noise is all that a denoiser is told.
    """

    def __init__(self, denoiser: GraphDenoiser, schedule: Schedule) -> None:
        self.denoiser, self.schedule = denoiser, schedule
        self.system = GraphSystem(schedule, schedule)

    @property
    def num_features(self) -> int:
        """F, of a node."""
        return self.denoiser.num_features

    def __call__(self, state: GraphState, t: Tensor) -> GraphState:
        """Return the partial scores at time t."""
        scale, std = self.schedule.scale(t), self.schedule.std(t)
        clean = self.denoiser(scaled_by(state, 1 / scale, 1 / scale), std / scale)
        near, here = scale / std**2, 1 / std**2
        return scaled_by(clean, near, near).minus(scaled_by(state, here, here))


class ScoreDenoiser:
    r"""The denoiser of partial scores, :math:`D = (x_t + s^2 \nabla \log p_t(x_t)) / a`.

    Args:
        scores: Of a system whose sides have the same schedule.

    Raises:
        ValueError: Two schedules: then no time has one level of noise for both sides.
    """

    def __init__(self, scores: PartialScores) -> None:
        if scores.system.nodes != scores.system.adjacency:
            raise ValueError(
                "ScoreDenoiser: expected one schedule for nodes and adjacency, got "
                f"{scores.system.nodes} and {scores.system.adjacency}"
            )
        self.scores, self.schedule = scores, scores.system.nodes

    @property
    def num_features(self) -> int:
        """F, of a node."""
        return self.scores.num_features

    def __call__(self, state: GraphState, sigma: Tensor) -> GraphState:
        """Return the posterior mean at the time whose level of noise is sigma."""
        t = self.schedule.time_of_sigma(sigma.double())
        scale, std = self.schedule.scale(t), self.schedule.std(t)
        score = self.scores(scaled_by(state, scale, scale), t)
        return state.plus(scaled_by(score, std**2 / scale, std**2 / scale))


def _factor(schedule: Schedule, t: Tensor) -> Tensor:
    return t.new_ones(()) if isinstance(schedule, VE) else -1 / schedule.std(t)
