import math
from itertools import chain

import networkx as nx
import numpy as np
import pytest
from scipy.spatial import ConvexHull

from invdiff.graphs.datasets import load_graphs
from invdiff.graphs.generators import (
    block_model_graphs,
    community_graphs,
    ego_graphs,
    grid_graphs,
    planar_graphs,
)

# standard errors between a count at a fixed seed and its mean
STANDARD_ERRORS = 4.5


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def draw_all(rng):
    large = nx.gnp_random_graph(60, 0.1, seed=1)
    return [
        community_graphs(3, generator=rng),
        grid_graphs(3, generator=rng),
        ego_graphs(large, 3, generator=rng),
        planar_graphs(3, generator=rng),
        block_model_graphs(3, generator=rng),
    ]


def assert_binomial(found, trials, probability):
    spread = math.sqrt(trials * probability * (1 - probability))
    assert abs(found - trials * probability) < STANDARD_ERRORS * spread


def crossing(graph, size):
    return sum((i < size) != (j < size) for i, j in graph.edges)


def test_the_same_stream_gives_the_same_graphs(rng):
    first, second = draw_all(rng), draw_all(np.random.default_rng(0))
    for a, b in zip(first, second, strict=True):
        assert len(a) == 3
        assert all(nx.utils.graphs_equal(x, y) for x, y in zip(a, b, strict=True))
    other = community_graphs(3, generator=np.random.default_rng(1))
    assert not all(nx.utils.graphs_equal(x, y) for x, y in zip(first[0], other, strict=True))


def test_graphs_are_simple_with_nodes_from_zero(rng):
    for graph in chain.from_iterable(draw_all(rng)):
        assert list(graph) == list(range(len(graph)))
        assert nx.number_of_selfloops(graph) == 0
        assert not graph.is_directed()


def test_shipped_communities_are_the_fixed_blocks(rng):
    drawn = community_graphs(60, generator=rng, fixed_blocks=True)
    blocks = {len(graph): halves(graph) for graph in drawn}
    assert sorted(blocks) == [12, 14, 16, 18, 20]
    for graph in load_graphs("community_small"):
        for found, expected in zip(halves(graph), blocks[len(graph)], strict=True):
            assert nx.is_isomorphic(found, expected)


def halves(graph):
    size = len(graph) // 2
    return graph.subgraph(range(size)), graph.subgraph(range(size, 2 * size))


def test_blocks_differ_unless_they_are_fixed(rng):
    drawn = community_graphs(20, generator=rng, sizes=(20, 20))
    edges = {frozenset(graph.subgraph(range(10)).edges) for graph in drawn}
    assert len(edges) == 20


def test_communities_have_the_given_densities(rng):
    size, count, outer = 10, 300, 0.05
    drawn = community_graphs(count, generator=rng, sizes=(20, 20), outer=outer)
    assert all(nx.is_connected(graph) for graph in drawn)
    bridges = [crossing(graph, size) for graph in drawn]
    inside = sum(graph.number_of_edges() for graph in drawn) - sum(bridges)
    assert_binomial(inside, count * size * (size - 1), 0.7)
    # one edge takes the place of none
    probability = 2 * outer / size
    mean = size**2 * probability + (1 - probability) ** (size**2)
    assert abs(np.mean(bridges) - mean) < STANDARD_ERRORS * np.std(bridges) / math.sqrt(count)
    assert min(bridges) == 1


def test_every_pair_of_many_communities_is_joined(rng):
    for graph in community_graphs(5, generator=rng, num_communities=4, sizes=(31, 31), outer=0):
        assert len(graph) == 28
        quotient = nx.quotient_graph(graph, [set(range(7 * k, 7 * k + 7)) for k in range(4)])
        assert quotient.number_of_edges() == 6
        assert nx.is_connected(graph)


def test_grids_have_the_edges_of_their_sides(rng):
    drawn = grid_graphs(200, generator=rng, sides=(2, 4))
    counts = {(len(graph), graph.number_of_edges()) for graph in drawn}
    expected = {(m * n, 2 * m * n - m - n) for m in range(2, 5) for n in range(2, 5)}
    assert counts == expected
    assert all(graph.has_edge(0, 1) for graph in drawn)


def test_ego_graphs_have_a_node_next_to_all_others(rng):
    large = nx.gnp_random_graph(80, 0.08, seed=2)
    drawn = ego_graphs(large, 30, generator=rng, sizes=(5, 9))
    for graph in drawn:
        assert 5 <= len(graph) <= 9
        assert max(degree for _, degree in graph.degree) == len(graph) - 1
    path = nx.path_graph(["a", "b", "c", "d", "e"])
    (whole,) = ego_graphs(path, 1, generator=rng, radius=2, sizes=(5, 5))
    assert nx.is_isomorphic(whole, nx.path_graph(5))


def test_ego_graphs_take_each_centre_once(rng):
    star = nx.star_graph(6)
    assert len(ego_graphs(star, 6, generator=rng, sizes=(2, 2))) == 6
    with pytest.raises(ValueError, match=r"at most 6, .* got 7"):
        ego_graphs(star, 7, generator=rng, sizes=(2, 2))


def test_planar_graphs_are_connected_triangulations(rng):
    for graph, points in zip(planar_graphs(10, generator=rng), same_points(10, 64), strict=True):
        assert len(graph) == 64
        assert nx.check_planarity(graph)[0]
        assert nx.is_connected(graph)
        # Euler's formula, for triangles within a hull of h points
        assert graph.number_of_edges() == 3 * 64 - 3 - len(ConvexHull(points).vertices)


def same_points(count, num_nodes):
    rng = np.random.default_rng(0)
    return [rng.random((num_nodes, 2)) for _ in range(count)]


def test_block_models_have_the_given_densities(rng):
    drawn = block_model_graphs(40, generator=rng)
    found, trials = {True: 0, False: 0}, {True: 0, False: 0}
    for graph in drawn:
        block = np.array([graph.nodes[node]["block"] for node in graph])
        sizes = np.bincount(block)
        assert 2 <= len(sizes) <= 5
        assert sizes.min() >= 20
        assert sizes.max() <= 40
        same = block[:, None] == block
        edges = nx.to_numpy_array(graph)
        for kind, where in ((True, same), (False, ~same)):
            upper = np.triu(where, 1)
            found[kind] += edges[upper].sum()
            trials[kind] += upper.sum()
    assert_binomial(found[True], trials[True], 0.3)
    assert_binomial(found[False], trials[False], 0.005)


@pytest.mark.parametrize(
    ("draw", "settings"),
    [
        (community_graphs, {"num_communities": 1}),
        (community_graphs, {"sizes": (1, 5)}),
        (community_graphs, {"sizes": (9, 5)}),
        (community_graphs, {"inner": 1.5}),
        (community_graphs, {"outer": -0.1}),
        (community_graphs, {"outer": 9.0}),
        (grid_graphs, {"sides": (0, 3)}),
        (planar_graphs, {"num_nodes": 2}),
        (block_model_graphs, {"num_blocks": (0, 2)}),
        (block_model_graphs, {"sizes": (3, 2)}),
        (block_model_graphs, {"outer": math.nan}),
    ],
)
def test_settings_out_of_range_are_refused(rng, draw, settings):
    with pytest.raises(ValueError, match="expected"):
        draw(2, generator=rng, **settings)


@pytest.mark.parametrize("draw", [community_graphs, grid_graphs, planar_graphs, block_model_graphs])
def test_no_graphs_are_refused(rng, draw):
    with pytest.raises(ValueError, match="num_graphs"):
        draw(0, generator=rng)
    with pytest.raises(ValueError, match="num_graphs"):
        ego_graphs(nx.path_graph(3), 0, generator=rng)
