"""Drawings of graphs: places and colours that depend on the graph alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["by_community", "communities", "community_colors", "draw_graph", "graph_positions"]

_COLORS = ("#2f6f9f", "#b5482a", "#5b8c3e", "#c9932b", "#7a5c99", "#4a9a94")
_EDGE, _FRAME = "#98a2b3", "#b5482a"
# points squared that all nodes of a drawing share
_AREA, _LARGEST = 500.0, 26.0

Positions = Mapping[Any, NDArray[np.float64]]


def graph_positions(graph: nx.Graph) -> dict[Any, NDArray[np.float64]]:
    """Return places in the plane whose distances are those within the graph.

    Nodes that no path joins are a little farther apart than any that one does.

    Args:
        graph: Not empty.
    """
    lengths = {node: dict(row) for node, row in nx.all_pairs_shortest_path_length(graph)}
    apart = 2 + max(max(row.values()) for row in lengths.values())
    distances = {u: {v: lengths[u].get(v, apart) for v in graph} for u in graph}
    start = _scaled(graph, np.array([list(row.values()) for row in distances.values()]))
    found: dict[Any, NDArray[np.float64]] = nx.kamada_kawai_layout(graph, distances, start)
    return found


def _scaled(graph: nx.Graph, distances: NDArray[np.float64]) -> dict[Any, NDArray[np.float64]]:
    """Return places by classical scaling of the distances; large graphs stay folded otherwise."""
    inner = -(distances.astype(float) ** 2) / 2
    inner -= inner.mean(0) + inner.mean(1)[:, None] - inner.mean()
    values, vectors = np.linalg.eigh(inner)
    places = vectors[:, -2:] * np.sqrt(values[-2:].clip(min=0))
    # nodes with the same neighbours would stay where they are, on each other
    angles = np.arange(len(graph))
    places = places + 0.1 * np.stack([np.cos(angles), np.sin(angles)], 1)
    return dict(zip(graph, places, strict=True))


def communities(graph: nx.Graph) -> list[list[Any]]:
    """Return the communities of the greatest modularity that greedy merging finds."""
    found = nx.community.greedy_modularity_communities(graph)
    return [sorted(part) for part in found]


def by_community(graph: nx.Graph) -> list[Any]:
    """Return the nodes, those of a community after each other."""
    return [node for part in communities(graph) for node in part]


def draw_graph(
    axis: Axes,
    graph: nx.Graph,
    *,
    positions: Positions | None = None,
    colors: Mapping[Any, str] | None = None,
    framed: bool = False,
) -> None:
    """Draw a graph, its nodes in the colour of their community.

    Args:
        axis: Where to.
        graph: Not empty.
        positions: Of the nodes; by default those of ``graph_positions``.
        colors: Of the nodes, instead of those of their communities.
        framed: Whether to draw a frame around it.
    """
    from matplotlib.collections import LineCollection

    places = graph_positions(graph) if positions is None else positions
    hues = community_colors(graph) if colors is None else colors
    points = np.array([places[node] for node in graph])
    lines = [(places[u], places[v]) for u, v in graph.edges]
    axis.add_collection(LineCollection(lines, colors=_EDGE, linewidths=0.6, zorder=1))
    size = min(_LARGEST, _AREA / len(graph))
    chosen = [hues[node] for node in graph]
    # a long thin drawing has no room at its sides
    axis.scatter(
        points[:, 0], points[:, 1], s=size, c=chosen, linewidths=0, zorder=2, clip_on=False
    )
    axis.set(xticks=[], yticks=[], aspect="equal")
    axis.margins(0.12)
    axis.spines[:].set_visible(framed)
    axis.spines[:].set(color=_FRAME, linewidth=1.2)


def community_colors(graph: nx.Graph) -> dict[Any, str]:
    """Return a colour for each node; the largest communities have their own."""
    return {
        node: _COLORS[i % len(_COLORS)]
        for i, part in enumerate(communities(graph))
        for node in part
    }
