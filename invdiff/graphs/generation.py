"""New graphs from noise: how many nodes they have, where the noise starts, and in what chunks."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from invdiff.graphs.integrator import GraphCallback, Integrator
from invdiff.graphs.schedules import Schedule
from invdiff.graphs.scores import PartialScores
from invdiff.graphs.state import GraphState, masked, normal_noise, to_pairs
from invdiff.graphs.system import GraphSystem
from invdiff.rng import Streams, problem_streams

__all__ = ["Start", "StateMoments", "draw_sizes", "generate", "matched_start", "state_moments"]

Start = Literal["standard", "matched"]


class StateMoments(NamedTuple):
    """First and second moments of graphs, over the nodes and pairs that are there.

    Args:
        node_mean: Of each feature, shape ``(F,)``.
        node_variance: Of each feature, shape ``(F,)``.
        pair_mean: Of the entries of the adjacency, 0-dimensional.
        pair_variance: 0-dimensional.
    """

    node_mean: Tensor
    node_variance: Tensor
    pair_mean: Tensor
    pair_variance: Tensor


def state_moments(state: GraphState) -> StateMoments:
    """Return the moments of a batch of graphs; float64.

    Raises:
        ValueError: No graph has two nodes.
    """
    mask = state.mask.expand(state.nodes.shape[:-1])
    pairs = to_pairs(state.adjacency)[to_pairs(mask.unsqueeze(-1) & mask.unsqueeze(-2))].double()
    if not len(pairs):
        raise ValueError("moments: no graph has a pair of nodes")
    nodes = state.nodes[mask].double()
    return StateMoments(
        nodes.mean(0), nodes.var(0, correction=0), pairs.mean(), pairs.var(correction=0)
    )


def draw_sizes(training_mask: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw node counts of random training graphs, with replacement; shape ``(count,)``.

    Args:
        training_mask: True where there is a node, shape ``(num_graphs, N)``.
        count: Graphs to come.
        generator: The first draws don't depend on the count.
    """
    sizes = training_mask.sum(-1)
    device = generator.device
    chosen = [
        torch.randint(len(sizes), (), generator=generator, device=device) for _ in range(count)
    ]
    return sizes[torch.stack(chosen).to(sizes.device)]


def matched_start(noise: GraphState, system: GraphSystem, moments: StateMoments) -> GraphState:
    r"""Return a state at time 1 with the first moments and the variances of the noisy graphs.

    .. math:: x_1 = a(1) m + \sqrt{a(1)^2 v + s(1)^2}\, z

    Args:
        noise: z, as from ``normal_noise``.
        system: Gives a and s of both sides.
        moments: m and v of the graphs at time 0.
    """
    nodes = _noisy(system.nodes, moments.node_mean, moments.node_variance)
    pairs = _noisy(system.adjacency, moments.pair_mean, moments.pair_variance)
    like = noise.nodes
    start = GraphState(
        nodes[0].to(like) + nodes[1].to(like) * noise.nodes,
        pairs[0].to(like) + pairs[1].to(like) * noise.adjacency,
        noise.mask,
    )
    return masked(start)


def _noisy(schedule: Schedule, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation at time 1."""
    end = mean.new_ones(())
    scale, std = schedule.scale(end), schedule.std(end)
    return scale * mean, (scale**2 * variance + std**2).sqrt()


def generate(
    scores: PartialScores,
    mask: Tensor,
    integrator: Integrator,
    *,
    generator: torch.Generator,
    start: Start = "standard",
    moments: StateMoments | None = None,
    batch_size: int | None = None,
    dtype: torch.dtype = torch.float32,
    callback: GraphCallback | None = None,
) -> GraphState:
    """Generate graphs :cite:p:`jo2022`; graph k depends on neither their number nor the chunks.

    The published start is standard normal although the noisy graphs at time 1 are not: their
    mean and variance still show those of the data. The matched start removes that mismatch.

    Args:
        scores: Of the system to reverse.
        mask: True where there is to be a node, shape ``(num_graphs, N)``; see ``size_mask``.
        integrator: The way back in time.
        generator: Source of one stream for each graph, on the device that is to draw.
        start: Distribution at time 1, "standard" or "matched".
        moments: Of the training graphs, for the matched start.
        batch_size: Graphs at a time, all by default; bounds the memory.
        dtype: Of the graphs.
        callback: Called after each step of each chunk.

    Raises:
        ValueError: A mask that isn't two-dimensional or is empty, an unknown start, a matched one
            without moments or a standard one with them, or a batch size below 1.
    """
    _check(mask, start, moments, batch_size)
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


def _check(mask: Tensor, start: str, moments: StateMoments | None, batch_size: int | None) -> None:
    if mask.ndim != 2 or not len(mask):
        raise ValueError(f"generate: expected a mask (num_graphs, N), got {tuple(mask.shape)}")
    if start not in ("standard", "matched"):
        raise ValueError(f"generate: expected a standard or a matched start, got {start!r}")
    if (start == "matched") != (moments is not None):
        given = "no moments" if moments is None else "moments"
        raise ValueError(f"generate: the start is {start}, and there are {given}")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"generate: expected batch_size > 0, got {batch_size}")
