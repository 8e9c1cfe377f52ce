"""Which graphs are the same but for the order of their nodes: exact tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import networkx as nx

from invdiff.graphs.adjacency import AnyGraph, as_adjacency, as_networkx
from invdiff.graphs.orbits import orbit_counts

__all__ = ["IsomorphismClasses", "count_distinct", "novelty", "uniqueness"]


class IsomorphismClasses:
    """The distinct graphs among those added, up to the order of their nodes.

    Graphs are first told apart by the colours of :cite:t:`weisfeiler1968`, which start from the
    counts of ``orbit_counts`` and can't split isomorphic graphs; those whose colours agree are
    compared exactly, by :cite:t:`juttner2018`. That takes exponential time in the worst case, of
    large graphs that are regular and have no short cycles.

    Args:
        graphs: Any that ``as_adjacency`` takes.

    Raises:
        ValueError: One of them isn't a simple graph.
    """

    def __init__(self, graphs: Iterable[AnyGraph] = ()) -> None:
        self._found: defaultdict[tuple[str, ...], list[nx.Graph]] = defaultdict(list)
        for graph in graphs:
            self.add(graph)

    def __len__(self) -> int:
        return sum(len(graphs) for graphs in self._found.values())

    def __contains__(self, graph: AnyGraph) -> bool:
        coloured = _coloured(graph)
        return self._holds(coloured, _key(coloured))

    def add(self, graph: AnyGraph) -> bool:
        """Add a graph; return whether there was none that is isomorphic to it."""
        coloured = _coloured(graph)
        key = _key(coloured)
        if self._holds(coloured, key):
            return False
        self._found[key].append(coloured)
        return True

    def _holds(self, graph: nx.Graph, key: tuple[str, ...]) -> bool:
        return any(_isomorphic(graph, other) for other in self._found.get(key, ()))


def count_distinct(graphs: Iterable[AnyGraph]) -> int:
    """Return the number of graphs of which no two are isomorphic."""
    return len(IsomorphismClasses(graphs))


def uniqueness(graphs: Sequence[AnyGraph]) -> float:
    """Return the number of distinct graphs over that of all.

    Raises:
        ValueError: No graphs.
    """
    return count_distinct(graphs) / _count(graphs)


def novelty(generated: Sequence[AnyGraph], training: Iterable[AnyGraph]) -> float:
    """Return the share of generated graphs that are isomorphic to no training graph.

    Raises:
        ValueError: No generated graphs.
    """
    known = IsomorphismClasses(training)
    return sum(graph not in known for graph in generated) / _count(generated)


def _count(graphs: Sequence[AnyGraph]) -> int:
    if not len(graphs):
        raise ValueError("isomorphism: expected at least one graph, got none")
    return len(graphs)


def _coloured(graph: AnyGraph) -> nx.Graph:
    adjacency = as_adjacency(graph)
    found = as_networkx(adjacency)
    # degrees alone would leave regular graphs to the slow comparison
    first = {node: str(row) for node, row in enumerate(orbit_counts(adjacency).tolist())}
    nx.set_node_attributes(found, first, "orbits")
    colours = nx.weisfeiler_lehman_subgraph_hashes(found, node_attr="orbits")
    # the last colour of a node has seen furthest
    last = {node: ladder[-1] for node, ladder in colours.items()}
    nx.set_node_attributes(found, last, "colour")
    return found


def _key(graph: nx.Graph) -> tuple[str, ...]:
    return tuple(sorted(colour for _, colour in graph.nodes(data="colour")))


def _isomorphic(a: nx.Graph, b: nx.Graph) -> bool:
    # two graphs without nodes are the same, but have no mapping to be found
    if not len(a) and not len(b):
        return True
    return bool(nx.vf2pp_is_isomorphic(a, b, node_label="colour"))
