"""How priors of graphs are built and trained: the published settings, and ours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from invdiff.graphs.log_odds import LogOddsDenoiser
from invdiff.graphs.networks import AdjacencyNetwork, NodeNetwork
from invdiff.graphs.schedules import VE, VP, Schedule
from invdiff.graphs.scores import NetworkScores
from invdiff.graphs.system import GraphSystem
from invdiff.training.settings import Training

__all__ = ["GRAPH_RECIPES", "GraphRecipe", "LogOddsRecipe"]

_VP, _VE = VP(), VE(0.2, 1.0)
_TRAINING = Training(num_steps=4000, learning_rate=2e-3, weight_decay=1e-4, dtype=torch.float32)


@dataclass(frozen=True)
class GraphRecipe:
    """Networks, training and sampler of a prior of graphs, as :cite:t:`jo2022` publish them.

    Args:
        max_nodes: N, to which graphs are padded.
        num_features: F, of a node.
        batch_size: Graphs of a step.
        nodes: Schedule of X.
        adjacency: Schedule of A.
        node_depth: Layers of the network of the nodes.
        adjacency_depth: Layers of that of the adjacency.
        sampler: How the reverse SDEs are stepped.
        snr: Of the Langevin corrector; None: there is none.
        scale_eps: Factor of the corrector's noise.
        ema_sampling: Samples are of the average of the weights, else of the last ones.
        num_epochs: Passes through the training graphs.
        learning_rate: Of Adam, at the start.
        width: Features of a node within both networks.
        attention_width: Of queries and keys.
        num_heads: Of the attention.
        num_powers: Of the adjacency, the first channels.
        num_channels: Of the adjacency between the layers.
        num_last_channels: After the last layer.
        num_linear: Layers of the perceptrons of the pairs.
        rate_decay: Factor of the learning rate after each epoch.
        weight_decay: A part of the gradient.
        gradient_clip: Largest norm of the gradient of each network.
        ema_decay: Of the average of the weights, which grows to it.
        num_scales: Steps of the sampler.
        last_time: Where its time grid ends.

    Raises:
        ValueError: A number below 1 that counts something.
    """

    max_nodes: int
    num_features: int
    batch_size: int
    nodes: Schedule
    adjacency: Schedule
    node_depth: int
    adjacency_depth: int
    sampler: Literal["euler", "reverse", "s4"]
    snr: float | None
    scale_eps: float = 0.7
    ema_sampling: bool = False
    num_epochs: int = 5000
    learning_rate: float = 0.01
    width: int = 32
    attention_width: int = 32
    num_heads: int = 4
    num_powers: int = 2
    num_channels: int = 8
    num_last_channels: int = 4
    num_linear: int = 2
    rate_decay: float = 0.999
    weight_decay: float = 1e-4
    gradient_clip: float = 1.0
    ema_decay: float = 0.999
    num_scales: int = 1000
    last_time: float = 1e-4

    def __post_init__(self) -> None:
        counts = (self.max_nodes, self.num_features, self.batch_size, self.num_epochs)
        if min(*counts, self.node_depth, self.adjacency_depth, self.width) < 1:
            raise ValueError(f"GraphRecipe: expected counts of at least 1, got {self}")

    @property
    def system(self) -> GraphSystem:
        """Return the forward SDEs."""
        return GraphSystem(self.nodes, self.adjacency)

    def build(self) -> NetworkScores:
        """Return the untrained scores; see ``drawn_network`` for their weights."""
        nodes = NodeNetwork(self.num_features, self.node_depth, self.width)
        adjacency = AdjacencyNetwork(
            self.num_features,
            self.adjacency_depth,
            self.width,
            self.attention_width,
            self.num_heads,
            self.num_powers,
            self.num_channels,
            self.num_last_channels,
            self.num_linear,
        )
        return NetworkScores(nodes, adjacency, self.system, self.num_features)

    def training(self, num_graphs: int) -> Training:
        """Return the optimisation for so many training graphs."""
        steps = -(-num_graphs // self.batch_size)
        return Training(
            num_steps=self.num_epochs * steps,
            learning_rate=self.learning_rate,
            num_warmup=0,
            weight_decay=self.weight_decay,
            gradient_clip=self.gradient_clip,
            ema_decay=self.ema_decay,
            dtype=torch.float32,
            rate_decay=self.rate_decay,
            decay_steps=steps,
            decoupled=False,
            growing_ema=True,
        )


GRAPH_RECIPES: dict[str, GraphRecipe] = {
    "community_small": GraphRecipe(20, 10, 128, _VP, _VP, 3, 5, "euler", 0.05),
    "ego_small": GraphRecipe(18, 17, 128, _VP, _VP, 2, 5, "euler", None),
    "enzymes": GraphRecipe(125, 10, 64, _VP, _VE, 5, 7, "s4", 0.15, ema_sampling=True),
    "grid": GraphRecipe(361, 5, 8, _VP, VP(0.2, 0.8), 5, 7, "reverse", 0.1, ema_sampling=True),
    "qm9": GraphRecipe(
        9, 4, 1024, VE(), VE(), 2, 3, "reverse", 0.2, num_epochs=300, learning_rate=0.005,
        width=16, attention_width=16, num_linear=3,
    ),
    "zinc250k": GraphRecipe(
        38, 9, 1024, _VP, _VE, 2, 6, "reverse", 0.2, 0.9, num_epochs=500, learning_rate=0.005,
        width=16, attention_width=16, num_linear=3,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class LogOddsRecipe:
    """Network, noise and training of a ``LogOddsDenoiser``.

    Args:
        batch_size: Graphs of a step.
        node_depth: Layers of the network of the nodes.
        adjacency_depth: Layers of that of the adjacency.
        width: Features of a node within both.
        sigma_min: Smallest noise level of the training.
        sigma_max: Largest one.
        focus: See ``CrossEntropyLoss``; also the next two.
        focus_sigma: Median level of the focus.
        focus_log_std: Its spread.
        training: The optimisation.

    Raises:
        ValueError: A number out of its range.
    """

    batch_size: int = 128
    node_depth: int = 3
    adjacency_depth: int = 5
    width: int = 32
    sigma_min: float = 0.2
    sigma_max: float = 10.0
    focus: float = 0.75
    focus_sigma: float = 0.6
    focus_log_std: float = 0.5
    training: Training = _TRAINING

    def __post_init__(self) -> None:
        if min(self.batch_size, self.node_depth, self.adjacency_depth, self.width) < 1:
            raise ValueError(f"LogOddsRecipe: expected counts of at least 1, got {self}")
        if not 0 < self.sigma_min < self.sigma_max < math.inf:
            raise ValueError(
                "LogOddsRecipe: expected 0 < sigma_min < sigma_max, "
                f"got {self.sigma_min} and {self.sigma_max}"
            )

    def build(self, num_features: int, density: float) -> LogOddsDenoiser:
        """Return the untrained denoiser; see ``drawn_network`` for its weights.

        Args:
            num_features: Classes of a node.
            density: Share of the pairs that are edges, in (0, 1).
        """
        return LogOddsDenoiser(
            num_features,
            density,
            node_depth=self.node_depth,
            adjacency_depth=self.adjacency_depth,
            width=self.width,
        )
