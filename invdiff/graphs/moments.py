"""What a set of graphs is like on average."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.graphs.state import GraphState, to_pairs

__all__ = ["GraphMoments", "graph_moments"]


@dataclass(frozen=True)
class GraphMoments:
    """Sizes of graphs, and means and variances over their nodes and pairs.

    Args:
        sizes: How many graphs have that number of nodes.
        node_mean: Of each feature, over all nodes.
        node_variance: Of each feature.
        edge_mean: Over all pairs of nodes; of edges in {0, 1} it is the density.
        edge_variance: Of the entries of the pairs.

    Raises:
        ValueError: A number that is negative where it can't be or isn't finite, or no graph.
    """

    sizes: dict[int, int]
    node_mean: tuple[float, ...]
    node_variance: tuple[float, ...]
    edge_mean: float
    edge_variance: float

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1 or min(self.sizes.values()) < 1:
            raise ValueError(f"GraphMoments: expected counts of numbers of nodes, got {self.sizes}")
        if not all(map(math.isfinite, (*self.node_mean, self.edge_mean))):
            raise ValueError(
                f"GraphMoments: expected finite means, got {self.node_mean} and {self.edge_mean}"
            )
        # NaN is not at least 0
        if not all(0 <= v < math.inf for v in (*self.node_variance, self.edge_variance)):
            raise ValueError(
                "GraphMoments: expected variances of at least 0, "
                f"got {self.node_variance} and {self.edge_variance}"
            )
        if len(self.node_mean) != len(self.node_variance):
            raise ValueError(
                f"GraphMoments: expected as many means as variances, "
                f"got {len(self.node_mean)} and {len(self.node_variance)}"
            )

    def draw_sizes(self, count: int, *, generator: torch.Generator) -> Tensor:
        """Draw numbers of nodes as the graphs have them, shape ``(count,)``, on the CPU.

        Args:
            count: How many, at least 1.
            generator: The only source of randomness.
        """
        sizes = torch.tensor(list(self.sizes))
        weights = torch.tensor(list(self.sizes.values()), dtype=torch.float64)
        chosen = torch.multinomial(
            weights.to(generator.device), count, replacement=True, generator=generator
        )
        return sizes[chosen.cpu()]


def graph_moments(graphs: GraphState, *, batch_size: int = 1000) -> GraphMoments:
    """Return the moments of graphs of leading shape ``(count,)``, of any dtype.

    Args:
        graphs: One or more, each with a node.
        batch_size: Graphs at a time in double precision; bounds the memory.

    Raises:
        ValueError: No graphs, one without nodes, or a batch below 1.
    """
    if batch_size < 1 or not len(graphs.mask):
        raise ValueError(
            f"graph_moments: expected graphs and batch_size >= 1, got {len(graphs.mask)} graphs "
            f"and {batch_size}"
        )
    sizes = Counter(graphs.mask.sum(-1).tolist())
    parts = [
        _sums(*(part[first : first + batch_size] for part in graphs))
        for first in range(0, len(graphs.mask), batch_size)
    ]
    nodes, pairs = (_mean_and_variance(side) for side in zip(*parts, strict=True))
    return GraphMoments(
        dict(sorted(sizes.items())),
        tuple(nodes[0].tolist()),
        tuple(nodes[1].tolist()),
        float(pairs[0]),
        float(pairs[1]),
    )


def _sums(nodes: Tensor, adjacency: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return number, sum and sum of squares of the nodes' features and of the pairs."""
    present = to_pairs(mask.unsqueeze(-1) & mask.unsqueeze(-2))
    entries = nodes[mask].double(), to_pairs(adjacency)[present].double().unsqueeze(-1)
    sides = [torch.stack([torch.ones_like(x).sum(0), x.sum(0), (x**2).sum(0)]) for x in entries]
    return sides[0], sides[1]


def _mean_and_variance(parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    number, total, squares = torch.stack(list(parts)).sum(0)
    # single nodes have no pairs
    number = number.clamp(min=1)
    mean = total / number
    return mean, (squares / number - mean**2).clamp(min=0)
