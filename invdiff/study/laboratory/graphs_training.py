"""What a study of graphs trains, and how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Self

import networkx as nx
import torch
from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)
from torch import nn

from invdiff.graphs.encoding import encode_graphs
from invdiff.graphs.fit import CheckpointFile, train_denoiser, train_scores
from invdiff.graphs.log_odds import LogOddsDenoiser
from invdiff.graphs.moments import graph_moments
from invdiff.graphs.recipes import GRAPH_RECIPES, GraphRecipe, LogOddsRecipe
from invdiff.graphs.schedules import VP
from invdiff.graphs.scores import DenoiserScores, NetworkScores
from invdiff.graphs.state import GraphState
from invdiff.study.base import Config
from invdiff.training import Training, TrainingStep

__all__ = ["LogOddsTraining", "PublishedTraining"]

Callback = Callable[[TrainingStep], None]


class LogOddsTraining(Config):
    """A denoiser of binary edges, trained by cross entropies, see ``LogOddsRecipe``.

    Args:
        num_steps: Of the optimisation.
        num_warmup: Of its warm-up, at most a tenth of the steps.
        learning_rate: Its highest value.
        weight_decay: Of AdamW.
        ema_decay: Of the averaged weights.
        batch_size: Graphs of each step.
        node_depth: Layers of the network of the nodes.
        adjacency_depth: Layers of that of the adjacency.
        width: Features of a node within both.
        sigma_min: Smallest noise level of the training.
        sigma_max: Largest one.
        focus: Share of the graphs whose levels are about ``focus_sigma``.
        focus_sigma: Median level of the focus.
        focus_log_std: Standard deviation of its logarithm.
        beta_min: Rate at time 0 of the VP schedule that it is sampled on, for both sides.
        beta_max: Rate at time 1.
        checkpoint_every: Steps from one checkpoint to the next.
    """

    kind: Literal["log-odds"] = "log-odds"
    num_steps: PositiveInt = 4000
    num_warmup: NonNegativeInt = 200
    learning_rate: PositiveFloat = 2e-3
    weight_decay: NonNegativeFloat = 1e-4
    ema_decay: float = Field(0.999, ge=0, lt=1)
    batch_size: PositiveInt = 128
    node_depth: PositiveInt = 3
    adjacency_depth: PositiveInt = 5
    width: PositiveInt = 32
    sigma_min: PositiveFloat = 0.2
    sigma_max: PositiveFloat = 10.0
    focus: float = Field(0.75, ge=0, lt=1)
    focus_sigma: PositiveFloat = 0.6
    focus_log_std: PositiveFloat = 0.5
    beta_min: PositiveFloat = 0.1
    beta_max: PositiveFloat = 9.0
    checkpoint_every: PositiveInt = 200

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._recipe()
        self._schedule()
        return self

    def encoded(self, graphs: Sequence[nx.Graph]) -> GraphState:
        """Return graphs with one class of node for each degree that there is."""
        largest = max(degree for graph in graphs for _, degree in graph.degree)
        return encode_graphs(graphs, max(map(len, graphs)), largest + 1)

    def fit(
        self,
        graphs: GraphState,
        generator: torch.Generator,
        checkpoint: CheckpointFile,
        callback: Callback,
    ) -> nn.Module:
        """Return the trained network."""
        return train_denoiser(
            graphs, self._recipe(), generator=generator, checkpoint=checkpoint, callback=callback
        )

    def build(self, graphs: GraphState) -> LogOddsDenoiser:
        """Return the network with weights that aren't trained."""
        return self._recipe().build(graphs.nodes.shape[-1], graph_moments(graphs).edge_mean)

    def scores(self, network: nn.Module) -> DenoiserScores:
        """Return the scores that it gives."""
        assert isinstance(network, LogOddsDenoiser)
        return DenoiserScores(network, self._schedule())

    def _schedule(self) -> VP:
        return VP(self.beta_min, self.beta_max)

    def _recipe(self) -> LogOddsRecipe:
        training = Training(
            num_steps=self.num_steps,
            learning_rate=self.learning_rate,
            num_warmup=min(self.num_warmup, self.num_steps // 10),
            weight_decay=self.weight_decay,
            ema_decay=self.ema_decay,
            dtype=torch.float32,
        )
        return LogOddsRecipe(
            batch_size=self.batch_size,
            node_depth=self.node_depth,
            adjacency_depth=self.adjacency_depth,
            width=self.width,
            sigma_min=self.sigma_min,
            sigma_max=self.sigma_max,
            focus=self.focus,
            focus_sigma=self.focus_sigma,
            focus_log_std=self.focus_log_std,
            training=training,
        )


class PublishedTraining(Config):
    """Scores trained by the settings of the method's authors, see ``GraphRecipe``.

    Args:
        name: Of the set that the settings are for.
        num_epochs: Passes through the training graphs, instead of the published number.
        checkpoint_every: Steps from one checkpoint to the next.
    """

    kind: Literal["published"] = "published"
    name: Literal["community_small", "ego_small", "enzymes", "grid"]
    num_epochs: PositiveInt | None = None
    checkpoint_every: PositiveInt = 200

    def encoded(self, graphs: Sequence[nx.Graph]) -> GraphState:
        """Return graphs with the sizes of the recipe."""
        recipe = self._recipe()
        return encode_graphs(graphs, recipe.max_nodes, recipe.num_features)

    def fit(
        self,
        graphs: GraphState,
        generator: torch.Generator,
        checkpoint: CheckpointFile,
        callback: Callback,
    ) -> nn.Module:
        """Return the scores with the weights that the authors sample with."""
        recipe = self._recipe()
        trained = train_scores(
            graphs, recipe, generator=generator, checkpoint=checkpoint, callback=callback
        )
        return trained.average if recipe.ema_sampling else trained.last

    def build(self, graphs: GraphState) -> NetworkScores:
        """Return the scores with weights that aren't trained."""
        return self._recipe().build()

    def scores(self, network: nn.Module) -> NetworkScores:
        """Return the scores, which the network is."""
        assert isinstance(network, NetworkScores)
        return network

    def _recipe(self) -> GraphRecipe:
        recipe = GRAPH_RECIPES[self.name]
        epochs = self.num_epochs or recipe.num_epochs
        return GraphRecipe(**vars(recipe) | {"num_epochs": epochs})
