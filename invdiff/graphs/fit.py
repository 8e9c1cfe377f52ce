"""Training of priors of graphs, in the training loop of the images."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import nn

from invdiff.graphs.batches import GraphBatches
from invdiff.graphs.log_odds import LogOddsDenoiser
from invdiff.graphs.losses import CrossEntropyLoss, ScoreMatchingLoss
from invdiff.graphs.moments import graph_moments
from invdiff.graphs.recipes import GraphRecipe, LogOddsRecipe
from invdiff.graphs.scores import NetworkScores
from invdiff.graphs.state import GraphState
from invdiff.training.first_weights import drawn_network
from invdiff.training.loop import TrainingStep, train
from invdiff.training.resume import TrainingCheckpoint

__all__ = ["CheckpointFile", "TrainedScores", "train_denoiser", "train_scores"]


class CheckpointFile(NamedTuple):
    """Where a training keeps its state, and the steps from one time to the next."""

    path: str | os.PathLike[str]
    every: int


class TrainedScores(NamedTuple):
    """The scores with the weights of the last step, and with their average."""

    last: NetworkScores
    average: NetworkScores


def train_scores(
    graphs: GraphState,
    recipe: GraphRecipe,
    *,
    generator: torch.Generator,
    likelihood_weighting: bool = False,
    checkpoint: CheckpointFile | None = None,
    callback: Callable[[TrainingStep], None] | None = None,
) -> TrainedScores:
    """Train scores as :cite:t:`jo2022` do.

    Args:
        graphs: Leading shape ``(count,)``, on the device of the generator.
        recipe: What is trained, and how.
        generator: The only source of randomness.
        likelihood_weighting: See ``score_matching_losses``.
        checkpoint: A training that was killed goes on from there, given the same arguments.
        callback: Called after each step.

    Raises:
        ValueError: Graphs of other features, a loss that diverged, or a checkpoint of another
            training.
    """
    if graphs.nodes.shape[-1] != recipe.num_features:
        raise ValueError(
            f"graphs: expected {recipe.num_features} features, got {graphs.nodes.shape[-1]}"
        )
    about = _about(graphs, generator, recipe=f"{recipe}, {likelihood_weighting}")
    scores = drawn_network(recipe.build, generator=generator)
    batches = GraphBatches(graphs, recipe.batch_size, generator=generator)
    average = train(
        scores,
        ScoreMatchingLoss(batches, likelihood_weighting=likelihood_weighting),
        recipe.training(len(graphs.mask)),
        clipped=(scores.node_network, scores.adjacency_network),
        checkpoint=_checkpoint(checkpoint, about),
        callback=callback,
    )
    return TrainedScores(scores.eval(), cast(NetworkScores, average))


def train_denoiser(
    graphs: GraphState,
    recipe: LogOddsRecipe,
    *,
    generator: torch.Generator,
    checkpoint: CheckpointFile | None = None,
    callback: Callable[[TrainingStep], None] | None = None,
) -> LogOddsDenoiser:
    """Train a denoiser by cross entropies and return it with the average of its weights.

    Args:
        graphs: Leading shape ``(count,)``, on the device of the generator; one-hot nodes, and
            edges in {0, 1}.
        recipe: What is trained, and how.
        generator: The only source of randomness.
        checkpoint: A training that was killed goes on from there, given the same arguments.
        callback: Called after each step.

    Raises:
        ValueError: Other graphs, a loss that diverged, or a checkpoint of another training.
    """
    about = _about(graphs, generator, recipe=f"{recipe}")
    density = graph_moments(graphs).edge_mean
    denoiser = drawn_network(
        lambda: recipe.build(graphs.nodes.shape[-1], density), generator=generator
    )
    batches = GraphBatches(graphs, recipe.batch_size, generator=generator)
    loss = CrossEntropyLoss(
        batches,
        sigma_min=recipe.sigma_min,
        sigma_max=recipe.sigma_max,
        focus=recipe.focus,
        focus_sigma=recipe.focus_sigma,
        focus_log_std=recipe.focus_log_std,
    )
    parts: tuple[nn.Module, ...] = (denoiser.node_network, denoiser.adjacency_network)
    average = train(
        denoiser,
        loss,
        recipe.training,
        clipped=parts,
        checkpoint=_checkpoint(checkpoint, about),
        callback=callback,
    )
    return cast(LogOddsDenoiser, average)


def _checkpoint(
    checkpoint: CheckpointFile | None, about: dict[str, str]
) -> TrainingCheckpoint | None:
    if checkpoint is None:
        return None
    # a step draws from its own stream, see GraphBatches: no generator has a state to keep
    return TrainingCheckpoint(checkpoint.path, about, every=checkpoint.every, generators=())


def _about(graphs: GraphState, generator: torch.Generator, *, recipe: str) -> dict[str, str]:
    digest = hashlib.blake2b(digest_size=8)
    for part in graphs:
        digest.update(repr((part.dtype, tuple(part.shape))).encode())
        digest.update(part.cpu().contiguous().numpy().tobytes())
    seed = hashlib.blake2b(generator.get_state().numpy().tobytes(), digest_size=8)
    return {"recipe": recipe, "graphs": digest.hexdigest(), "seed": seed.hexdigest()}
