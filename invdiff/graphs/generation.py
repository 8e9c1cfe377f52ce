"""New graphs from noise: where the noise starts, and in what chunks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from invdiff.graphs.integrator import GraphCallback, GraphIntegrator
from invdiff.graphs.moments import GraphMoments
from invdiff.graphs.schedules import Schedule
from invdiff.graphs.scores import PartialScores
from invdiff.graphs.state import GraphState, masked, normal_noise
from invdiff.graphs.system import GraphSystem
from invdiff.rng import Streams, problem_streams

__all__ = ["generate", "matched_start"]


def matched_start(noise: GraphState, system: GraphSystem, moments: GraphMoments) -> GraphState:
    r"""Return a state at time 1 with the first moments and the variances of the noisy graphs.

    .. math:: x_1 = a(1) m + \sqrt{a(1)^2 v + s(1)^2}\, z

    Args:
        noise: z, as from ``normal_noise``.
        system: Gives a and s of both sides.
        moments: m and v of the graphs at time 0.
    """
    nodes = _noisy(noise.nodes, system.nodes, moments.node_mean, moments.node_variance)
    pairs = _noisy(noise.adjacency, system.adjacency, moments.edge_mean, moments.edge_variance)
    return masked(GraphState(nodes, pairs, noise.mask))


def _noisy(
    noise: Tensor,
    schedule: Schedule,
    mean: float | Sequence[float],
    variance: float | Sequence[float],
) -> Tensor:
    m, v = (torch.tensor(value, dtype=torch.float64) for value in (mean, variance))
    scale, std = schedule.scale(m.new_ones(())), schedule.std(m.new_ones(()))
    return (scale * m).to(noise) + (scale**2 * v + std**2).sqrt().to(noise) * noise


def generate(
    scores: PartialScores,
    mask: Tensor,
    integrator: GraphIntegrator,
    *,
    generator: torch.Generator,
    moments: GraphMoments | None = None,
    batch_size: int | None = None,
    dtype: torch.dtype = torch.float32,
    callback: GraphCallback | None = None,
) -> GraphState:
    """Generate graphs :cite:p:`jo2022`; graph k depends on neither their number nor the chunks.

    The published start is standard normal although the noisy graphs at time 1 are not: their
    mean and variance still show those of the data. The matched start removes that mismatch.
    Graphs are independent unless the integrator mixes them, as ``Langevin(batch_norms=True)`` does.

    Args:
        scores: Of the system to reverse.
        mask: True where there is to be a node, shape ``(num_graphs, N)``; see ``size_mask``.
        integrator: The way back in time.
        generator: Source of one stream for each graph, on the device that is to draw.
        moments: Of the training graphs, for the matched start; None for the published one.
        batch_size: Graphs at a time, all by default; bounds the memory.
        dtype: Of the graphs.
        callback: Called after each step of each chunk.

    Raises:
        ValueError: A mask that isn't two-dimensional or is empty, moments of other features, or a
            batch size below 1.
    """
    _check(scores, mask, moments, batch_size)
    num_graphs, num_nodes = mask.shape
    streams = problem_streams(generator, num_graphs, ())
    # every graph has its own stream, so it doesn't matter where the chunks end
    size = num_graphs if batch_size is None else batch_size
    parts = []
    for first in range(0, num_graphs, size):
        part = mask[first : first + size]
        own = Streams(streams.generators[first : first + size], (len(part),))
        empty = torch.zeros((*part.shape, scores.num_features), dtype=dtype, device=mask.device)
        no_edges = empty.new_zeros(*part.shape, num_nodes)
        noise = normal_noise(GraphState(empty, no_edges, part), own)
        begun = noise if moments is None else matched_start(noise, scores.system, moments)
        parts.append(integrator.run(scores, begun, own, callback))
    return GraphState(*(torch.cat(side) for side in zip(*parts, strict=True)))


def _check(
    scores: PartialScores, mask: Tensor, moments: GraphMoments | None, batch_size: int | None
) -> None:
    if mask.ndim != 2 or not len(mask):
        raise ValueError(f"generate: expected a mask (num_graphs, N), got {tuple(mask.shape)}")
    if moments is not None and len(moments.node_mean) != scores.num_features:
        raise ValueError(
            f"generate: nodes have {scores.num_features} features, the moments "
            f"{len(moments.node_mean)}"
        )
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"generate: expected batch_size > 0, got {batch_size}")
