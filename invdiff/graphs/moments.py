"""What a set of graphs is like on average."""

from __future__ import annotations

from collections import Counter
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
        ValueError: A number that is negative where it can't be, or no graph at all.
    """

    sizes: dict[int, int]
    node_mean: tuple[float, ...]
    node_variance: tuple[float, ...]
    edge_mean: float
    edge_variance: float

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1 or min(self.sizes.values()) < 1:
            raise ValueError(f"GraphMoments: expected counts of numbers of nodes, got {self.sizes}")
        # NaN is not at least 0
        if not all(v >= 0 for v in (*self.node_variance, self.edge_variance)):
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


def graph_moments(graphs: GraphState) -> GraphMoments:
    """Return the moments of graphs of leading shape ``(count,)``.

    Raises:
        ValueError: No graphs, or one without nodes.
    """
    sizes = Counter(graphs.mask.sum(-1).tolist())
    nodes = graphs.nodes[graphs.mask].double()
    present = to_pairs(graphs.mask.unsqueeze(-1) & graphs.mask.unsqueeze(-2))
    pairs = to_pairs(graphs.adjacency)[present].double()
    # single nodes have no pairs
    pairs = pairs if pairs.numel() else pairs.new_zeros(1)
    return GraphMoments(
        dict(sorted(sizes.items())),
        tuple(nodes.mean(0).tolist()),
        tuple(nodes.var(0, correction=0).tolist()),
        float(pairs.mean()),
        float(pairs.var(correction=0)),
    )
