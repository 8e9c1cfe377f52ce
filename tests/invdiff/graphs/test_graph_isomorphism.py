"""Exact counts of distinct and of new graphs."""

import networkx as nx
import numpy as np
import pytest

from invdiff.graphs.isomorphism import IsomorphismClasses, count_distinct, novelty, uniqueness

# graphs of n nodes up to isomorphism, OEIS A000088
NUM_GRAPHS = {1: 1, 2: 2, 3: 4, 4: 11, 5: 34}


def shuffled(graph: nx.Graph, seed: int) -> np.ndarray:
    adjacency = nx.to_numpy_array(graph)
    order = np.random.default_rng(seed).permutation(len(adjacency))
    return adjacency[np.ix_(order, order)]


def all_graphs(num_nodes: int) -> list[np.ndarray]:
    i, j = np.triu_indices(num_nodes, 1)
    found = []
    for code in range(2 ** len(i)):
        adjacency = np.zeros((num_nodes, num_nodes), dtype=int)
        adjacency[i, j] = adjacency[j, i] = code >> np.arange(len(i)) & 1
        found.append(adjacency)
    return found


def shrikhande() -> nx.Graph:
    """Return a strongly regular graph with the parameters of the 4 x 4 rook's graph."""
    steps = [(0, 1), (1, 0), (1, 1)]
    nodes = [(i, j) for i in range(4) for j in range(4)]
    return nx.Graph([((i, j), ((i + p) % 4, (j + q) % 4)) for i, j in nodes for p, q in steps])


@pytest.mark.parametrize("num_nodes", NUM_GRAPHS)
def test_distinct_graphs_are_as_many_as_there_are(num_nodes):
    graphs = all_graphs(num_nodes)
    assert count_distinct(graphs) == NUM_GRAPHS[num_nodes]
    assert uniqueness(graphs) == NUM_GRAPHS[num_nodes] / len(graphs)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (nx.cycle_graph(6), nx.disjoint_union(nx.cycle_graph(3), nx.cycle_graph(3))),
        (
            nx.disjoint_union(nx.cycle_graph(10), nx.cycle_graph(10)),
            nx.disjoint_union(nx.cycle_graph(8), nx.cycle_graph(12)),
        ),
        (nx.circular_ladder_graph(5), nx.petersen_graph()),
        (nx.dodecahedral_graph(), nx.desargues_graph()),
        (nx.line_graph(nx.complete_bipartite_graph(4, 4)), shrikhande()),
    ],
)
def test_regular_graphs_are_told_apart(a, b):
    assert not nx.is_isomorphic(a, b)
    assert sorted(dict(a.degree).values()) == sorted(dict(b.degree).values())
    assert count_distinct([a, shuffled(a, 0), b, shuffled(b, 1)]) == 2
    assert novelty([shuffled(a, 2), shuffled(b, 3)], [a]) == 0.5


def test_relabelled_graphs_are_known():
    training = [nx.gnp_random_graph(20, 0.3, seed=k) for k in range(10)]
    generated = [shuffled(graph, k) for k, graph in enumerate(training)]
    assert novelty(generated, training) == 0
    changed = []
    for graph in training:
        other = graph.copy()
        other.remove_edge(*next(iter(graph.edges)))
        changed.append(other)
    assert novelty(changed, training) == 1
    assert novelty([*generated, *changed], training) == 0.5


def test_answers_agree_with_plain_comparison():
    graphs = [nx.gnp_random_graph(5, 0.5, seed=k) for k in range(60)]
    generated, training = graphs[:40], graphs[40:]
    known = [any(nx.is_isomorphic(a, b) for b in training) for a in generated]
    assert novelty(generated, training) == 1 - np.mean(known)
    assert 0 < np.mean(known) < 1
    first = [not any(nx.is_isomorphic(graphs[k], b) for b in graphs[:k]) for k in range(60)]
    assert count_distinct(graphs) == sum(first)


def test_classes_tell_what_is_new():
    classes = IsomorphismClasses([nx.path_graph(3)])
    assert classes.add(nx.path_graph(4))
    assert not classes.add(np.array([[0, 0, 1], [0, 0, 1], [1, 1, 0]]))
    assert len(classes) == 2
    assert nx.path_graph(4) in classes
    assert nx.star_graph(3) not in classes


def test_graphs_without_edges_differ_by_size():
    graphs = [np.zeros((n, n)) for n in (0, 1, 2, 3)]
    assert count_distinct([*graphs, *graphs]) == 4
    assert novelty(graphs, graphs[:2]) == 0.5
    assert novelty(graphs, []) == 1


def test_large_grids_are_compared():
    training = [nx.grid_2d_graph(15, n) for n in range(15, 21)]
    generated = [shuffled(graph, k) for k, graph in enumerate(training[:3])]
    assert novelty([*generated, nx.grid_2d_graph(10, 30)], training) == 0.25


def test_empty_sets_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        novelty([], [nx.path_graph(2)])
    with pytest.raises(ValueError, match="at least one"):
        uniqueness([])
