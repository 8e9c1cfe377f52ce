"""Graphs of which a part is hidden, or of which some pairs are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from invdiff.graphs.datasets import load_graphs, split_graphs
from invdiff.graphs.generators import community_graphs
from invdiff.graphs.isomorphism import IsomorphismClasses
from invdiff.graphs.observations import draw_known_pairs
from invdiff.graphs.state import from_pairs, to_pairs
from invdiff.rng import derive_generator, draw_seeds
from invdiff.study.laboratory.graph_completion_reference import MOST_NODES
from operators import GaussianNoise, NoiseModel
from operators.noise import BinarySymmetricNoise

__all__ = ["GROUPS", "AskedGraph", "Case", "Task", "check_graphs", "chosen_graphs", "draw_case"]

GROUPS = ("repeated", "held out", "new")
# graphs that are drawn for each that is asked for, at most
_MOST_TRIES = 1000


class AskedGraph(NamedTuple):
    """A graph that is asked for.

    Args:
        group: Index into ``GROUPS``: a test graph that is isomorphic to a training graph, another
            test graph, or one that was drawn for the study.
        adjacency: Shape ``(n, n)``, zeros and ones.
    """

    group: int
    adjacency: Tensor


class Case(NamedTuple):
    """What is told of a graph.

    Args:
        adjacency: The truth, ``(n, n)``.
        told: The same with NaN for what is hidden, or with wrong entries.
        asked: True for the pairs that are scored, ``(n (n - 1) / 2,)``.
        nodes: Features ``(n, F)``, NaN where unknown.
    """

    adjacency: Tensor
    told: Tensor
    asked: Tensor
    nodes: Tensor


@dataclass(frozen=True)
class Task:
    """What is done to a graph.

    Args:
        kind: "hidden": some pairs are unknown; "wrong": all are told, some of them wrongly.
        share: Of the pairs.
    """

    kind: Literal["hidden", "wrong"]
    share: float

    @property
    def key(self) -> str:
        """Return the task's part of the names of numbers."""
        return f"{self.kind}_{100 * self.share:g}"

    @property
    def title(self) -> str:
        """Return the task in words."""
        return f"{100 * self.share:g} % of the pairs {self.kind}"

    def noise(self, sigma: float) -> NoiseModel:
        """Return how sure the known pairs are: sigma of those that aren't wrong."""
        return GaussianNoise(sigma) if self.kind == "hidden" else BinarySymmetricNoise(self.share)


def chosen_graphs(
    source: str, num_test: int, num_new: int, max_degree: int, seed: int
) -> list[AskedGraph]:
    """Return the first graphs of the test set, and new ones that were drawn as communities are.

    Args:
        source: A name of ``list_graph_sets`` or a file.
        num_test: Graphs of the first fifth of the set.
        num_new: Graphs of two communities, which no set repeats.
        max_degree: Of the new graphs; others are drawn again.
        seed: Of the new graphs.

    Raises:
        ValueError: The test set has fewer graphs, or new ones have larger degrees.
    """
    training, test = split_graphs(load_graphs(source))
    if num_test > len(test):
        raise ValueError(f"tasks.num_test: expected at most {len(test)} graphs, got {num_test}")
    known = IsomorphismClasses(training)
    chosen = [AskedGraph(int(graph not in known), _adjacency(graph)) for graph in test[:num_test]]
    (number,) = draw_seeds(derive_generator(seed, "new graphs"), 1)
    generator = np.random.default_rng(number)
    for _ in range(_MOST_TRIES * num_new):
        if len(chosen) == num_test + num_new:
            break
        (graph,) = community_graphs(1, generator=generator)
        if max(degree for _, degree in graph.degree) <= max_degree and graph not in known:
            chosen.append(AskedGraph(2, _adjacency(graph)))
    if len(chosen) < num_test + num_new:
        raise ValueError(
            f"tasks.num_new: too few graphs of two communities have degrees up to {max_degree}, of "
            "which the prior knows no more"
        )
    return chosen


def check_graphs(
    graphs: Sequence[AskedGraph], max_degree: int | None, *, communities: bool
) -> None:
    """Refuse graphs that cannot be scored.

    Args:
        graphs: Of ``chosen_graphs``.
        max_degree: Of the prior, if it is told the degrees.
        communities: Whether each is compared with graphs of two communities of equal size.

    Raises:
        ValueError: One line on the first graph that doesn't fit.
    """
    if not any(graph.group for graph in graphs):
        raise ValueError("tasks: every graph is isomorphic to a training graph, ask for more")
    for k, (_, adjacency) in enumerate(graphs):
        num_nodes, degree = len(adjacency), int(adjacency.sum(-1).max())
        if not 0 < to_pairs(adjacency).mean() < 1:
            raise ValueError(f"tasks.graphs: graph {k} has all edges or none, nothing to rank")
        if max_degree is not None and degree > max_degree:
            raise ValueError(
                f"tasks.degrees_known: graph {k} has a degree of {degree}, of which the prior "
                f"knows no more than {max_degree}"
            )
        if communities and (num_nodes % 2 or num_nodes > MOST_NODES):
            raise ValueError(
                f"tasks.communities: expected 2, 4, ..., {MOST_NODES} nodes, graph {k} has "
                f"{num_nodes}; leave them out with false"
            )


def draw_case(
    graph: AskedGraph,
    task: Task,
    num_features: int,
    degrees_known: bool,
    *,
    generator: torch.Generator,
) -> Case:
    """Draw what is hidden, or wrong.

    Hidden pairs are drawn again until there are edges and others among them, which a ranking
    needs.

    Args:
        graph: The truth.
        task: What is done to it.
        num_features: Of the prior's nodes.
        degrees_known: Tell the degrees of the whole graph, with hidden pairs only.
        generator: Source of the pairs.
    """
    adjacency, num_nodes = graph.adjacency, len(graph.adjacency)
    pairs = to_pairs(adjacency)
    nodes = adjacency.new_full((num_nodes, num_features), torch.nan)
    if task.kind == "wrong":
        wrong = torch.rand(len(pairs), generator=generator) < task.share
        told = from_pairs((pairs.bool() ^ wrong).to(adjacency.dtype), num_nodes)
        return Case(adjacency, told, torch.ones_like(wrong), nodes)
    if degrees_known:
        degrees = adjacency.sum(-1).long().clamp(max=num_features - 1)
        nodes = torch.nn.functional.one_hot(degrees, num_features).to(adjacency.dtype)
    num_hidden = max(2, round(task.share * len(pairs)))
    while True:
        known = draw_known_pairs(num_nodes, num_hidden, generator=generator)
        asked = ~to_pairs(known)
        if 0 < pairs[asked].sum() < num_hidden:
            return Case(adjacency, torch.where(known, adjacency, torch.nan), asked, nodes)


def _adjacency(graph: nx.Graph) -> Tensor:
    return torch.from_numpy(nx.to_numpy_array(graph, weight=None)).float()
