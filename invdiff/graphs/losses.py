"""What priors of graphs are trained to minimise."""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from invdiff.graphs.batches import GraphBatches, batch_noise
from invdiff.graphs.scores import PartialScores
from invdiff.graphs.state import GraphState, masked, to_pairs
from invdiff.graphs.system import scaled_by

__all__ = [
    "CrossEntropyLoss",
    "LogOdds",
    "ScoreMatchingLoss",
    "cross_entropies",
    "score_matching_losses",
]


class LogOdds(Protocol):
    """What tells the logits of a clean graph, such as ``LogOddsDenoiser``."""

    def log_odds(self, state: GraphState, sigma: Tensor) -> GraphState:
        """Return the logits of the classes of the nodes, and of the edges."""
        ...


def score_matching_losses(
    scores: PartialScores,
    clean: GraphState,
    t: Tensor,
    noise: GraphState,
    *,
    likelihood_weighting: bool = False,
) -> tuple[Tensor, Tensor]:
    r"""Return the denoising score matching losses by X and by A :cite:p:`jo2022`, means of graphs.

    .. math:: \tfrac12 w(t) \sum \Bigl(s_\theta(x_t, t) + \frac{z}{s(t)}\Bigr)^2, \qquad
        w = s^2 \text{ or } g^2

    The sum runs over all entries of a graph: every pair of nodes counts twice.

    Args:
        scores: Of the system that adds the noise.
        clean: Leading shape ``(batch,)``.
        t: Times in (0, 1], shape ``(batch,)``.
        noise: z, as from ``batch_noise``.
        likelihood_weighting: Weigh by the diffusion g, which bounds the likelihood
            :cite:p:`song2021`, in place of the noise.
    """
    system = scores.system
    found = scores(system.perturbed(clean, t, noise), t)
    sides = (system.nodes, system.adjacency)
    residual = masked(scaled_by(found, *(side.std(t) for side in sides)).plus(noise))
    if likelihood_weighting:
        residual = scaled_by(residual, *(side.diffusion(t) / side.std(t) for side in sides))
    nodes, adjacency = (
        part.square().sum((-2, -1)).mean() / 2 for part in (residual.nodes, residual.adjacency)
    )
    return nodes, adjacency


def cross_entropies(
    denoiser: LogOdds, clean: GraphState, sigma: Tensor, noise: GraphState
) -> tuple[Tensor, Tensor]:
    r"""Return the cross entropies of the clean nodes and edges, means over the graphs.

    .. math:: -\sum_i \log p(X_i \mid x_\sigma), \qquad -\sum_{i < j} \log p(A_{ij} \mid x_\sigma)

    Their minimum is the entropy of each node and pair given the noisy graph.

    Args:
        denoiser: Told the noisy graph and sigma.
        clean: One-hot nodes and edges in {0, 1}, leading shape ``(batch,)``.
        sigma: Standard deviation of the noise, shape ``(batch,)``.
        noise: As from ``batch_noise``.
    """
    odds = denoiser.log_odds(clean.plus(scaled_by(noise, sigma, sigma)), sigma)
    nodes = -(odds.nodes.log_softmax(-1) * clean.nodes).sum(-1)
    edges = functional.binary_cross_entropy_with_logits(
        to_pairs(odds.adjacency), to_pairs(clean.adjacency), reduction="none"
    )
    present = to_pairs(clean.mask.unsqueeze(-1) & clean.mask.unsqueeze(-2))
    # what stands outside of the mask is no graph, and may be anything
    nodes, edges = nodes.where(clean.mask, 0), edges.where(present, 0)
    return nodes.sum(-1).mean(), edges.sum(-1).mean()


class ScoreMatchingLoss:
    """The sum of both score matching losses on the batch of a step, at uniform times.

    Args:
        batches: Of the training graphs.
        first_time: The times are uniform from here to 1.
        likelihood_weighting: See ``score_matching_losses``.

    Raises:
        ValueError: A first time that isn't in (0, 1).
    """

    def __init__(
        self,
        batches: GraphBatches,
        *,
        first_time: float = 1e-5,
        likelihood_weighting: bool = False,
    ) -> None:
        if not 0 < first_time < 1:
            raise ValueError(f"first_time: expected a number in (0, 1), got {first_time}")
        self.batches, self.first_time = batches, first_time
        self.likelihood_weighting = likelihood_weighting

    def __call__(self, scores: Any, step: int) -> Tensor:
        """Return the loss of ``PartialScores`` on the batch of a step."""
        clean, generator = self.batches.batch(step), self.batches.generator(step)
        uniform = _uniform(len(clean.mask), generator)
        t = self.first_time + (1 - self.first_time) * uniform
        noise = batch_noise(clean, generator=generator)
        nodes, adjacency = score_matching_losses(
            scores, clean, t, noise, likelihood_weighting=self.likelihood_weighting
        )
        return nodes + adjacency


class CrossEntropyLoss:
    r"""The sum of both cross entropies on the batch of a step.

    What can be learnt is learnt at some levels: below, each noisy entry shows its edge, above none
    shows anything. A share of the graphs takes levels about there, with a normal
    :math:`\ln \sigma`; those of the others are uniform in it. All are stratified: one of the equal
    parts of the distribution for each graph of the batch.

    Args:
        batches: Of the training graphs, with one-hot nodes and edges in {0, 1}.
        sigma_min: Smallest noise level.
        sigma_max: Largest noise level.
        focus: Share of the graphs in [0, 1) with a normal logarithm, cut off at both levels.
        focus_sigma: Their median level.
        focus_log_std: Standard deviation of the logarithm.

    Raises:
        ValueError: ``0 < sigma_min <= focus_sigma <= sigma_max`` doesn't hold, another number out
            of its range, or graphs of other numbers.
    """

    def __init__(
        self,
        batches: GraphBatches,
        *,
        sigma_min: float = 0.2,
        sigma_max: float = 10.0,
        focus: float = 0.0,
        focus_sigma: float = 0.6,
        focus_log_std: float = 0.5,
    ) -> None:
        if not 0 < sigma_min <= focus_sigma <= sigma_max < math.inf:
            raise ValueError(
                f"CrossEntropyLoss: expected 0 < sigma_min <= focus_sigma <= sigma_max, "
                f"got {sigma_min}, {focus_sigma} and {sigma_max}"
            )
        if not (0 <= focus < 1 and focus_log_std > 0):
            raise ValueError(
                f"CrossEntropyLoss: expected focus in [0, 1) and focus_log_std > 0, "
                f"got {focus} and {focus_log_std}"
            )
        _check_classes(batches.graphs)
        self.batches, self.sigma_min, self.sigma_max = batches, sigma_min, sigma_max
        self.focus, self.focus_sigma, self.focus_log_std = focus, focus_sigma, focus_log_std

    def __call__(self, denoiser: Any, step: int) -> Tensor:
        """Return the loss of what has ``log_odds`` on the batch of a step."""
        clean, generator = self.batches.batch(step), self.batches.generator(step)
        sigma = self.levels(len(clean.mask), generator)
        nodes, edges = cross_entropies(
            denoiser, clean, sigma, batch_noise(clean, generator=generator)
        )
        return nodes + edges

    def levels(self, count: int, generator: torch.Generator) -> Tensor:
        """Return stratified noise levels, shape ``(count,)``, float64."""
        strata = torch.arange(count, device=generator.device)
        share = (strata + _uniform(count, generator)) / count
        uniform = self.sigma_min * (self.sigma_max / self.sigma_min) ** (share / (1 - self.focus))
        if not self.focus:
            return uniform
        # the other shares become quantiles of the normal logarithm
        inner = ((share - 1 + self.focus) / self.focus).clamp(0, 1)
        normal = self.focus_sigma * (self.focus_log_std * torch.special.ndtri(inner)).exp()
        normal = normal.clamp(self.sigma_min, self.sigma_max)
        return uniform.where(share < 1 - self.focus, normal)


def _uniform(count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator, device=generator.device, dtype=torch.float64)


def _check_classes(graphs: GraphState) -> None:
    for name, values in (("nodes", graphs.nodes), ("edges", graphs.adjacency)):
        if not ((values == 0) | (values == 1)).all():
            raise ValueError(f"{name}: expected zeros and ones")
    if not (graphs.nodes.sum(-1) == graphs.mask).all():
        raise ValueError("nodes: expected one class for each node, and none where there is none")
