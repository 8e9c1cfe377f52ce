import networkx as nx
import numpy as np
import pytest
import torch

from invdiff.graphs.datasets import load_graphs
from invdiff.graphs.encoding import decode_graphs, encode_graphs, quantized
from invdiff.graphs.generators import grid_graphs
from invdiff.graphs.state import GraphState, masked, size_mask


def same(a, b):
    edges = [{frozenset(edge) for edge in graph.edges} for graph in (a, b)]
    return list(a) == list(b) and edges[0] == edges[1]


def lone_nodes():
    """Nodes 0 and 3 have no edges."""
    graph = nx.empty_graph(5)
    graph.add_edges_from([(1, 2), (2, 4)])
    return graph


@pytest.mark.parametrize(
    ("name", "max_nodes", "num_features"), [("community_small", 20, 10), ("ego_small", 18, 17)]
)
def test_published_sets_come_back(name, max_nodes, num_features):
    graphs = load_graphs(name)
    state = encode_graphs(graphs, max_nodes, num_features)
    assert state.nodes.shape == (len(graphs), max_nodes, num_features)
    assert state.nodes.dtype == state.adjacency.dtype == torch.float32
    for found, graph in zip(decode_graphs(state), graphs, strict=True):
        assert same(found, graph)


def test_features_are_one_hot_degrees():
    graphs = load_graphs("ego_small")[:9]
    state = encode_graphs(graphs, 18, 17)
    assert torch.equal(state.nodes.sum(-1), state.mask.float())
    for nodes, graph in zip(state.nodes, graphs, strict=True):
        degrees = nodes.argmax(-1)[: len(graph)].tolist()
        assert degrees == [degree for _, degree in graph.degree]


def test_encoded_states_obey_the_rules_of_states():
    graphs = [nx.path_graph(3), lone_nodes(), nx.complete_graph(4)]
    state = encode_graphs(graphs, 6, 4)
    clean = masked(state)
    assert torch.equal(state.adjacency, state.adjacency.mT)
    assert torch.equal(clean.adjacency, state.adjacency)
    assert torch.equal(clean.nodes, state.nodes)
    assert torch.equal(state.mask, size_mask(torch.tensor([3, 5, 4]), 6))


def test_labels_and_weights_do_not_matter():
    graph = nx.Graph()
    graph.add_edge("b", "a", weight=7.0)
    graph.add_edge("a", "c", weight=0.0)
    (found,) = decode_graphs(encode_graphs([graph], 3, 3))
    assert same(found, nx.Graph([(0, 1), (1, 2)]))


def test_isolated_nodes_are_kept_or_removed():
    state = encode_graphs([lone_nodes(), nx.empty_graph(3)], 6, 3)
    assert state.mask.sum(-1).tolist() == [5, 3]
    kept = decode_graphs(state, keep_isolated=True)
    assert same(kept[0], lone_nodes())
    assert same(kept[1], nx.empty_graph(3))
    removed = decode_graphs(state)
    assert same(removed[0], nx.path_graph(3))
    assert same(removed[1], nx.empty_graph(1))


def test_noise_below_half_and_padding_do_not_show(generator):
    graphs = load_graphs("community_small")[:8]
    state = encode_graphs(graphs, 20, 10)
    noise = 0.98 * (torch.rand(state.adjacency.shape, generator=generator) - 0.5)
    padding = 5 * (~state.mask.unsqueeze(-1) | ~state.mask.unsqueeze(-2))
    noisy = GraphState(state.nodes, state.adjacency + noise + padding, state.mask)
    for found, graph in zip(decode_graphs(noisy), graphs, strict=True):
        assert same(found, graph)


def test_the_threshold_is_an_edge():
    adjacency = torch.tensor([[0.0, 0.7, 0.5], [0.7, 0.0, 0.2], [0.5, 0.2, 0.0]])
    state = GraphState(torch.zeros(3, 1), adjacency, torch.ones(3, dtype=torch.bool))
    counts = [decode_graphs(state, t)[0].number_of_edges() for t in (0.1, 0.5, 0.6, 0.8)]
    assert counts == [3, 2, 1, 0]


def test_leading_axes_are_flattened():
    graphs = grid_graphs(4, generator=np.random.default_rng(0), sides=(2, 3))
    state = encode_graphs(graphs, 9, 5)
    square = GraphState(
        state.nodes.reshape(2, 2, 9, 5), state.adjacency.reshape(2, 2, 9, 9), state.mask[0]
    )
    shared = GraphState(square.nodes, square.adjacency, state.mask.reshape(2, 2, 9))
    for found, graph in zip(decode_graphs(shared), graphs, strict=True):
        assert same(found, graph)
    # one mask for all
    assert len(decode_graphs(square, keep_isolated=True)) == 4


def test_levels_are_the_nearest_integers_within_range():
    values = torch.tensor([-3.0, 0.0, 0.49, 0.5, 1.49, 1.5, 2.49, 2.5, 9.0], dtype=torch.float64)
    expected = {2: [0, 0, 0, 1, 1, 1, 1, 1, 1], 4: [0, 0, 0, 1, 1, 2, 2, 3, 3]}
    for num_levels, levels in expected.items():
        found = quantized(values, num_levels)
        assert found.dtype == torch.float64
        assert found.tolist() == levels
    halves = torch.tensor([0.5, 1.5, 2.5])
    assert quantized(halves.nextafter(torch.zeros(3)), 4).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("graphs", "message"),
    [
        ([], "at least one"),
        ([nx.empty_graph(0)], "1 to 4 nodes, got 0"),
        ([nx.path_graph(5)], "1 to 4 nodes, got 5"),
        ([nx.star_graph(3)], "largest degree, 3, got 3"),
        ([nx.DiGraph([(0, 1)])], "DiGraph"),
        ([nx.MultiGraph([(0, 1)])], "MultiGraph"),
        ([nx.Graph([(0, 1), (1, 1)])], r"self loops, got edge \(1, 1\)"),
    ],
)
def test_graphs_without_a_place_are_refused(graphs, message):
    with pytest.raises(ValueError, match=message):
        encode_graphs(graphs, max_nodes=4, num_features=3)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_entries_that_are_not_finite_are_refused(bad):
    state = encode_graphs([nx.path_graph(3)], 3, 3)
    with pytest.raises(ValueError, match="finite"):
        decode_graphs(state._replace(adjacency=state.adjacency * bad))
    with pytest.raises(ValueError, match="finite"):
        quantized(torch.tensor([bad]))
    with pytest.raises(ValueError, match="at least 2, got 1"):
        quantized(torch.zeros(2), 1)
