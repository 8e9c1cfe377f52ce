"""Graphs have no first node: networks, noise and counts that respect it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from invdiff.graphs import AdjacencyNetwork, GraphState, NodeNetwork, from_pairs, normal_noise
from invdiff.rng import derive_generator, problem_streams
from invdiff.theory.chapter.drawing import COLORS, draw_diagonal
from invdiff.theory.chapter.fact import Fact, Reading

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_NUM_NODES, _NUM_GRAPHS = 6, 2000
_NUM_PAIRS = _NUM_NODES * (_NUM_NODES - 1) // 2


def _equivariance() -> Reading:
    generator = derive_generator(0, "equivariance")
    networks = [NodeNetwork(2).double(), AdjacencyNetwork(2).double()]
    for network in networks:
        _randomize(network, generator)
    order = torch.randperm(_NUM_NODES, generator=generator)
    graphs = _random_graphs(generator)
    moved = GraphState(
        graphs.nodes[:, order], graphs.adjacency[:, order][:, :, order], graphs.mask[:, order]
    )
    with torch.no_grad():
        nodes, pairs = (network(graphs) for network in networks)
        measured = torch.cat([network(moved).flatten() for network in networks])
    exact = torch.cat([nodes[:, order].flatten(), pairs[:, order][:, :, order].flatten()])
    return Reading(
        float((measured - exact).abs().max() / exact.abs().max()),
        0.0,
        1e-10,
        "rounding in double precision, of sums in another order",
        lambda axes: draw_diagonal(
            axes,
            exact.numpy(),
            measured.numpy(),
            "outputs, then renumbered",
            "of renumbered graphs",
        ),
    )


def _randomize(network: nn.Module, generator: torch.Generator) -> None:
    """Give weights that depend on the generator alone."""
    with torch.no_grad():
        for weights in network.parameters():
            drawn = torch.randn(weights.shape, generator=generator, dtype=weights.dtype)
            weights.copy_(drawn / max(1, weights.shape[-1]) ** 0.5)


def _random_graphs(generator: torch.Generator) -> GraphState:
    """Return eight graphs, of which half lack one node."""
    nodes = torch.randn(8, _NUM_NODES, 2, generator=generator, dtype=torch.float64)
    pairs = torch.randn(8, _NUM_PAIRS, generator=generator, dtype=torch.float64)
    mask = torch.ones(8, _NUM_NODES, dtype=torch.bool)
    mask[:4, -1] = False
    present = mask.unsqueeze(-1) & mask.unsqueeze(-2)
    return GraphState(nodes * mask.unsqueeze(-1), from_pairs(pairs, _NUM_NODES) * present, mask)


def _noise() -> Reading:
    """Weigh the noise of many graphs: entries that are not pairs would make it heavier."""
    empty = torch.zeros(_NUM_GRAPHS, _NUM_NODES, _NUM_NODES, dtype=torch.float64)
    like = GraphState(empty[:, :, :1], empty, torch.ones_like(empty[:, 0], dtype=torch.bool))
    streams = problem_streams(derive_generator(0, "symmetric-noise"), _NUM_GRAPHS, ())
    drawn = normal_noise(like, streams).adjacency
    squares = (drawn @ drawn).diagonal(dim1=-2, dim2=-1).sum(-1) / 2
    return Reading(
        float(squares.mean()),
        float(_NUM_PAIRS),
        4.5 * (2 * _NUM_PAIRS / _NUM_GRAPHS) ** 0.5,
        "4.5 standard errors of 2000 graphs",
        lambda axes: _draw_noise(axes, squares),
    )


def _draw_noise(axes: Axes, squares: Tensor) -> None:
    x = torch.linspace(1, 45, 200, dtype=torch.float64)
    half = torch.tensor(_NUM_PAIRS / 2, dtype=torch.float64)
    log_density = (half - 1) * (x / 2).log() - x / 2 - torch.lgamma(half)
    axes.hist(squares.numpy(), 40, density=True, color=COLORS[1], alpha=0.7, label="noise")
    axes.plot(x.numpy(), log_density.exp().numpy() / 2, color=COLORS[0], label="chi-squared, 15")
    axes.set(xlabel="tr(A^2) / 2", ylabel="density")
    axes.legend(frameon=False, fontsize=7)


FACTS = (
    Fact(
        "networks-follow-a-renumbering",
        "A graph has no first node: if its nodes are renumbered, the outputs of both networks are "
        "renumbered in the same way and do not change otherwise.",
        r"f(P X, P A P^T) = P f(X, A), \qquad g(P X, P A P^T) = P g(X, A) P^T",
        ("jo2022",),
        _equivariance,
    ),
    Fact(
        "noise-of-pairs",
        "An undirected graph has noise on its pairs alone, symmetric and with a zero diagonal; "
        "half of its sum of squares has as many degrees of freedom as there are pairs.",
        r"\tfrac12 \operatorname{tr} A^2 \sim \chi^2_{N (N - 1) / 2}",
        ("jo2022",),
        _noise,
    ),
)
