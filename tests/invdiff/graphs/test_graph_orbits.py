"""Counts of orbits against enumeration, and closed forms."""

from itertools import combinations
from math import comb

import networkx as nx
import numpy as np
import pytest
import torch

from invdiff.graphs.adjacency import as_adjacency
from invdiff.graphs.orbits import NUM_ORBITS, orbit_counts

# orbit of a node by its degree, for each sequence of degrees that a connected subgraph may have
PLACES = {
    (1, 1): {1: 0},
    (1, 1, 2): {1: 1, 2: 2},
    (2, 2, 2): {2: 3},
    (1, 1, 2, 2): {1: 4, 2: 5},
    (1, 1, 1, 3): {1: 6, 3: 7},
    (2, 2, 2, 2): {2: 8},
    (1, 2, 2, 3): {1: 9, 2: 10, 3: 11},
    (2, 2, 3, 3): {2: 12, 3: 13},
    (3, 3, 3, 3): {3: 14},
}


def random_graph(rng: np.random.Generator, num_nodes: int, density: float) -> np.ndarray:
    upper = np.triu(rng.random((num_nodes, num_nodes)) < density, 1)
    return (upper | upper.T).astype(int)


def enumerated(adjacency: np.ndarray) -> np.ndarray:
    counts = np.zeros((len(adjacency), NUM_ORBITS), dtype=int)
    for size in (2, 3, 4):
        for nodes in combinations(range(len(adjacency)), size):
            degrees = adjacency[np.ix_(nodes, nodes)].sum(0).tolist()
            places = PLACES.get(tuple(sorted(degrees)), {})
            for node, degree in zip(nodes, degrees, strict=True):
                if places:
                    counts[node, places[degree]] += 1
    return counts


def test_counts_are_those_of_enumeration():
    rng = np.random.default_rng(0)
    for _ in range(200):
        graph = random_graph(rng, int(rng.integers(1, 10)), rng.uniform(0, 1))
        np.testing.assert_array_equal(orbit_counts(graph), enumerated(graph))


def test_counts_follow_the_nodes():
    rng = np.random.default_rng(1)
    graph = random_graph(rng, 40, 0.3)
    order = rng.permutation(40)
    moved = orbit_counts(graph[np.ix_(order, order)])
    np.testing.assert_array_equal(moved, orbit_counts(graph)[order])


def test_counts_of_parts_stand_side_by_side():
    rng = np.random.default_rng(2)
    a, b = random_graph(rng, 12, 0.4), random_graph(rng, 9, 0.6)
    both = np.block([[a, np.zeros((12, 9))], [np.zeros((9, 12)), b]])
    np.testing.assert_array_equal(
        orbit_counts(both), np.concatenate([orbit_counts(a), orbit_counts(b)])
    )


def test_counts_of_a_large_complete_graph_are_binomials():
    counts = orbit_counts(1 - np.eye(361))
    assert counts.dtype == np.int64
    expected = np.zeros(NUM_ORBITS, dtype=int)
    expected[[0, 3, 14]] = [comb(360, k) for k in (1, 2, 3)]
    np.testing.assert_array_equal(counts, np.tile(expected, (361, 1)))


def test_counts_of_a_large_dense_graph_are_exact():
    # beyond the integers that single precision has
    a = random_graph(np.random.default_rng(3), 361, 0.85)
    counts, d = orbit_counts(a), a.sum(0)
    edges = a * (a @ a)
    walks = edges @ (d - 2)
    assert walks.max() > 2**24
    np.testing.assert_array_equal(counts[:, [10, 12, 13, 14]] @ [1, 2, 2, 6], walks)


def test_counts_of_a_large_star_are_binomials():
    counts = orbit_counts(nx.star_graph(360))
    assert counts[0].nonzero()[0].tolist() == [0, 2, 7]
    assert counts[0, [0, 2, 7]].tolist() == [comb(360, k) for k in (1, 2, 3)]
    assert counts[5, [0, 1, 6]].tolist() == [1, 359, comb(359, 2)]


def test_graphs_without_edges_have_no_subgraphs():
    assert orbit_counts(np.zeros((1, 1))).tolist() == [[0] * NUM_ORBITS]
    assert orbit_counts(np.zeros((0, 0))).shape == (0, NUM_ORBITS)
    assert not orbit_counts(torch.zeros(5, 5)).any()


def test_arrays_tensors_and_networkx_graphs_agree():
    graph = nx.gnp_random_graph(9, 0.4, seed=3)
    # weights are no edges more
    nx.set_edge_attributes(graph, 2.5, "weight")
    array = nx.to_numpy_array(graph, weight=None)
    for other in (array, array > 0, torch.from_numpy(array).float(), array.tolist()):
        np.testing.assert_array_equal(as_adjacency(other), as_adjacency(graph))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ([[0, 1], [0, 0]], "symmetric"),
        ([[1, 1], [1, 0]], "diagonal"),
        ([[0, 2], [2, 0]], "got 2"),
        ([[0, 0.5], [0.5, 0]], "got 0.5"),
        ([[0, float("nan")], [float("nan"), 0]], "got nan"),
        (np.zeros((2, 3)), r"\(2, 3\)"),
        (np.zeros((2, 3, 3)), r"\(2, 3, 3\)"),
        (nx.DiGraph([(0, 1)]), "symmetric"),
        (nx.Graph([(0, 0)]), "diagonal"),
        (nx.MultiGraph([(0, 1), (0, 1)]), "got 2"),
    ],
)
def test_what_is_no_simple_graph_is_refused(graph, message):
    with pytest.raises(ValueError, match=message):
        orbit_counts(graph)
