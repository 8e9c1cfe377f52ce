"""Descriptors of graphs whose degrees, triangles and spectra are known."""

import networkx as nx
import numpy as np
import pytest
import torch

from invdiff.graphs.descriptors import (
    clustering_distribution,
    degree_distribution,
    describe,
    orbit_means,
    spectral_distribution,
)
from invdiff.graphs.orbits import orbit_counts


def bins_of(distribution: np.ndarray) -> dict[int, float]:
    return {int(i): float(distribution[i]) for i in distribution.nonzero()[0]}


def test_degrees_of_a_star():
    np.testing.assert_allclose(degree_distribution(nx.star_graph(4)), [0, 0.8, 0, 0, 0.2])


def test_clustering_of_a_triangle_with_a_tail():
    # the joint has 1 of 3 pairs joined, the free corners 1 of 1, the tail none
    graph = nx.Graph([(0, 1), (1, 2), (2, 0), (2, 3)])
    assert bins_of(clustering_distribution(graph)) == {0: 0.25, 33: 0.25, 99: 0.5}


def test_orbit_means_are_means_over_the_nodes():
    graph = nx.gnp_random_graph(20, 0.3, seed=0)
    np.testing.assert_allclose(orbit_means(graph), orbit_counts(graph).sum(0) / 20)
    assert orbit_means(nx.complete_graph(5))[14] == 4


@pytest.mark.parametrize("leaves", [1, 2, 3, 7, 12, 17])
def test_spectrum_of_a_star_is_0_1_and_2(leaves):
    found = bins_of(spectral_distribution(nx.star_graph(leaves)))
    n = leaves + 1
    expected = {0: 1 / n, 100: (leaves - 1) / n, 199: 1 / n}
    assert found == pytest.approx({i: p for i, p in expected.items() if p})


def test_spectrum_of_a_cycle():
    n = 30
    expected = 1 - np.cos(2 * np.pi * np.arange(n) / n)
    histogram = np.histogram(np.clip(expected, 0, 2), 200, (-1e-5, 2))[0] / n
    np.testing.assert_allclose(spectral_distribution(nx.cycle_graph(n)), histogram)


def test_descriptors_forget_the_order_of_the_nodes():
    rng = np.random.default_rng(0)
    graph = nx.to_numpy_array(nx.gnp_random_graph(15, 0.4, seed=1))
    order = rng.permutation(15)
    for a, b in zip(describe([graph]), describe([graph[np.ix_(order, order)]]), strict=True):
        np.testing.assert_allclose(a, b)


def test_a_set_of_any_sizes_has_one_row_each():
    graphs = [nx.path_graph(3), torch.zeros(1, 1), np.zeros((4, 4)), nx.star_graph(6)]
    found = describe(graphs)
    assert [part.shape for part in found] == [(4, 7), (4, 100), (4, 15), (4, 200)]
    for distribution in (found.degree, found.cluster, found.spectral):
        np.testing.assert_allclose(distribution.sum(1), 1)
    alone = describe(graphs[:1])
    np.testing.assert_allclose(found.degree[0], [0, 2 / 3, 1 / 3, 0, 0, 0, 0])
    np.testing.assert_allclose(found.spectral[0], alone.spectral[0])


def test_graphs_without_edges_are_all_at_zero():
    for size in (1, 5):
        found = describe([np.zeros((size, size))])
        assert found.degree.tolist() == [[1.0]]
        assert bins_of(found.cluster[0]) == {0: 1.0}
        assert bins_of(found.spectral[0]) == {0: 1.0}
        assert not found.orbit.any()


def test_empty_sets_and_graphs_without_nodes_are_refused():
    with pytest.raises(ValueError, match="got none"):
        describe([])
    with pytest.raises(ValueError, match="with nodes"):
        describe([np.zeros((0, 0))])
    with pytest.raises(ValueError, match="with nodes"):
        describe([nx.Graph()])
