"""Sets of graphs: those that the method is usually judged on, and files of the same format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import networkx as nx

from invdiff.graphs.text_files import read_text

__all__ = ["GraphSplit", "list_graph_sets", "load_graphs", "split_graphs"]

_SUFFIX = ".json.gz"


class GraphSplit(NamedTuple):
    """Graphs to train with and graphs to compare with.

    The published sets repeat themselves: up to 28 of 40 test graphs are isomorphic to one of the
    training graphs, so a low distance to the test set doesn't exclude memorisation.

    Args:
        training: Graphs to learn from.
        test: Graphs that are held out.
    """

    training: list[nx.Graph]
    test: list[nx.Graph]


def list_graph_sets() -> list[str]:
    """Return the names of the sets that ship with the package.

    ``community_small`` (100 graphs of 12 to 20 nodes), ``ego_small`` (200 of 4 to 17),
    ``enzymes`` (587 of 10 to 125) and ``grid`` (100 of 110 to 361), in the order of
    :cite:t:`jo2022`.
    """
    return sorted(file.name.removesuffix(_SUFFIX) for file in _root().glob(f"*{_SUFFIX}"))


def load_graphs(source: str | Path) -> list[nx.Graph]:
    """Read a set of graphs.

    Args:
        source: A name of ``list_graph_sets``, or a ``.json`` or ``.json.gz`` file: a list of
            objects ``{"num_nodes": 3, "edges": [[0, 1], [1, 2]]}`` whose edges have no direction.

    Returns:
        Graphs with nodes 0, 1, ... in the order of the file.

    Raises:
        ValueError: No such set or file, or the file isn't of that format.
    """
    path = _path(source)
    try:
        entries = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(entries, list):
        raise ValueError(f"{path}: expected a list of graphs, got {_shown(entries)}")
    graphs = []
    for i, entry in enumerate(entries):
        try:
            graphs.append(_graph(entry))
        except ValueError as error:
            raise ValueError(f"{path}: graph {i}: {error}") from error
    return graphs


def split_graphs(graphs: Sequence[nx.Graph]) -> GraphSplit:
    """Split as :cite:t:`jo2022` do: the first fifth is the test set, rounded down.

    Raises:
        ValueError: Fewer than five graphs.
    """
    num_test = len(graphs) // 5
    if num_test == 0:
        raise ValueError(f"graphs: expected at least 5 to split, got {len(graphs)}")
    return GraphSplit(training=list(graphs[num_test:]), test=list(graphs[:num_test]))


def _root() -> Path:
    return Path(str(files("invdiff.graphs"))) / "samples"


def _path(source: str | Path) -> Path:
    if source in list_graph_sets():
        return _root() / f"{source}{_SUFFIX}"
    path = Path(source)
    if not path.is_file():
        names = ", ".join(list_graph_sets())
        raise ValueError(f"source: expected one of {names} or a file, got {str(source)!r}")
    return path


def _graph(entry: Any) -> nx.Graph:
    if not (isinstance(entry, dict) and isinstance(entry.get("edges"), list)):
        raise ValueError(f"expected num_nodes and a list of edges, got {_shown(entry)}")
    num_nodes = entry.get("num_nodes")
    # bool is an int too
    if type(num_nodes) is not int or num_nodes < 1:
        raise ValueError(f"num_nodes: expected a positive integer, got {_shown(num_nodes)}")
    for edge in entry["edges"]:
        _check_edge(edge, num_nodes)
    graph = nx.empty_graph(num_nodes)
    graph.add_edges_from(entry["edges"])
    return graph


def _check_edge(edge: Any, num_nodes: int) -> None:
    if not (isinstance(edge, list) and len(edge) == 2 and all(type(node) is int for node in edge)):
        raise ValueError(f"edge: expected two integers, got {_shown(edge)}")
    if not all(0 <= node < num_nodes for node in edge):
        raise ValueError(f"edge: expected nodes from 0 to {num_nodes - 1}, got {edge}")
    if edge[0] == edge[1]:
        raise ValueError(f"edge: expected two different nodes, got {edge}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
