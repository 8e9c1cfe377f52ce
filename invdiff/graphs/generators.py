"""Random graphs of the families that generators of graphs are judged on."""

from __future__ import annotations

from itertools import combinations

import networkx as nx
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.spatial import Delaunay

__all__ = ["block_model_graphs", "community_graphs", "ego_graphs", "grid_graphs", "planar_graphs"]


def community_graphs(
    num_graphs: int,
    *,
    generator: Generator,
    num_communities: int = 2,
    sizes: tuple[int, int] = (12, 20),
    inner: float = 0.7,
    outer: float = 0.05,
    fixed_blocks: bool = False,
) -> list[nx.Graph]:
    r"""Draw graphs of k random communities of equal size m, with few edges between them.

    Nodes of two communities are joined with probability

    .. math:: \frac{2\, \mathrm{outer}}{(k - 1)\, m},

    which is ``outer`` edges for each node of the graph. Connected components that have no edge
    between them get one, so graphs are connected.
    The published set ``community_small`` :cite:p:`jo2022` seeds community i with i: there are
    only five pairs of communities in it, one for each size, and graphs differ by the edges
    between them.

    Args:
        num_graphs: Graphs to draw.
        generator: Source of the graphs.
        num_communities: k, at least 2.
        sizes: Least and most nodes of a graph, rounded down to a multiple of k.
        inner: Probability of an edge within a community.
        outer: Expected edges between communities for each node, at most (k - 1) m / 2.
        fixed_blocks: Seed the communities as the published set does.

    Raises:
        ValueError: A number out of its range.
    """
    _check_bounds("sizes", sizes, num_communities)
    _check_probabilities(inner=inner)
    if num_communities < 2:
        raise ValueError(f"num_communities: expected at least 2, got {num_communities}")
    graphs = []
    for total in _integers(num_graphs, sizes, generator):
        size = total // num_communities
        bridge = _bridge_probability(outer, num_communities, size)
        seeds = [i if fixed_blocks else generator for i in range(num_communities)]
        blocks = [nx.gnp_random_graph(size, inner, seed=seed) for seed in seeds]
        graphs.append(_bridged(nx.disjoint_union_all(blocks), bridge, generator))
    return graphs


def grid_graphs(
    num_graphs: int, *, generator: Generator, sides: tuple[int, int] = (10, 19)
) -> list[nx.Graph]:
    """Draw rectangular grids, nodes in row-major order.

    Args:
        num_graphs: Graphs to draw.
        generator: Source of the sides.
        sides: Least and most nodes of a side.

    Raises:
        ValueError: A number out of its range.
    """
    _check_bounds("sides", sides, 1)
    pairs = _integers(2 * num_graphs, sides, generator)
    grids = [nx.grid_2d_graph(*pair) for pair in zip(pairs[::2], pairs[1::2], strict=True)]
    return [nx.convert_node_labels_to_integers(grid) for grid in grids]


def ego_graphs(
    graph: nx.Graph,
    num_graphs: int,
    *,
    generator: Generator,
    radius: int = 1,
    sizes: tuple[int, int] = (4, 18),
) -> list[nx.Graph]:
    """Draw neighbourhoods of nodes of a graph, each node at most once.

    Args:
        graph: The large graph, such as a citation network.
        num_graphs: Graphs to draw.
        generator: Source of the centres.
        radius: Steps from the centre to the farthest nodes.
        sizes: Least and most nodes of a neighbourhood; others aren't taken.

    Raises:
        ValueError: A number out of its range, or fewer such neighbourhoods.
    """
    _check_bounds("sizes", sizes, 1)
    _check_count(num_graphs)
    nodes = list(graph)
    found: list[nx.Graph] = []
    for centre in generator.permutation(len(nodes)):
        if len(found) == num_graphs:
            return found
        near = nx.ego_graph(graph, nodes[centre], radius)
        if sizes[0] <= len(near) <= sizes[1]:
            found.append(nx.convert_node_labels_to_integers(near))
    if len(found) < num_graphs:
        raise ValueError(
            f"num_graphs: expected at most {len(found)}, as many as there are of sizes {sizes}, "
            f"got {num_graphs}"
        )
    return found


def planar_graphs(num_graphs: int, *, generator: Generator, num_nodes: int = 64) -> list[nx.Graph]:
    """Draw Delaunay triangulations of uniform points of a square :cite:p:`martinkus2022`.

    They are planar and connected.

    Args:
        num_graphs: Graphs to draw.
        generator: Source of the points.
        num_nodes: Points, at least 3.

    Raises:
        ValueError: A number out of its range.
    """
    _check_count(num_graphs)
    if num_nodes < 3:
        raise ValueError(f"num_nodes: expected at least 3, got {num_nodes}")
    return [_triangulation(generator.random((num_nodes, 2))) for _ in range(num_graphs)]


def block_model_graphs(
    num_graphs: int,
    *,
    generator: Generator,
    num_blocks: tuple[int, int] = (2, 5),
    sizes: tuple[int, int] = (20, 40),
    inner: float = 0.3,
    outer: float = 0.005,
) -> list[nx.Graph]:
    """Draw from stochastic block models; a node's attribute ``block`` tells its block.

    Args:
        num_graphs: Graphs to draw.
        generator: Source of the graphs.
        num_blocks: Least and most blocks of a graph.
        sizes: Least and most nodes of a block.
        inner: Probability of an edge within a block.
        outer: Probability of an edge between blocks.

    Raises:
        ValueError: A number out of its range.
    """
    _check_bounds("num_blocks", num_blocks, 1)
    _check_bounds("sizes", sizes, 1)
    _check_probabilities(inner=inner, outer=outer)
    graphs = []
    for blocks in _integers(num_graphs, num_blocks, generator):
        edges = np.full((blocks, blocks), outer)
        np.fill_diagonal(edges, inner)
        drawn = _integers(blocks, sizes, generator)
        graphs.append(nx.stochastic_block_model(drawn, edges.tolist(), seed=generator))
    return graphs


def _bridge_probability(outer: float, num_communities: int, size: int) -> float:
    most = (num_communities - 1) * size / 2
    if not 0 <= outer <= most:
        raise ValueError(f"outer: expected 0 to {most} edges for each node, got {outer}")
    return outer / most


def _bridged(graph: nx.Graph, bridge: float, generator: Generator) -> nx.Graph:
    parts = [sorted(part) for part in nx.connected_components(graph)]
    for a, b in combinations(parts, 2):
        rows, columns = np.nonzero(generator.random((len(a), len(b))) < bridge)
        edges = [(a[i], b[j]) for i, j in zip(rows, columns, strict=True)]
        graph.add_edges_from(edges or [(a[0], b[0])])
    return graph


def _triangulation(points: NDArray[np.float64]) -> nx.Graph:
    graph = nx.empty_graph(len(points))
    for triangle in Delaunay(points).simplices.tolist():
        graph.add_edges_from(combinations(triangle, 2))
    return graph


def _integers(count: int, bounds: tuple[int, int], generator: Generator) -> list[int]:
    _check_count(count)
    low, high = bounds
    drawn: list[int] = generator.integers(low, high, size=count, endpoint=True).tolist()
    return drawn


def _check_count(count: int) -> None:
    if count < 1:
        raise ValueError(f"num_graphs: expected at least 1, got {count}")


def _check_bounds(name: str, bounds: tuple[int, int], least: int) -> None:
    if not least <= bounds[0] <= bounds[1]:
        raise ValueError(f"{name}: expected {least} <= least <= most, got {bounds}")


def _check_probabilities(**probabilities: float) -> None:
    for name, value in probabilities.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name}: expected a probability, got {value}")
