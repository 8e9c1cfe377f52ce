import gzip
import json

import networkx as nx
import pytest

from invdiff.graphs.datasets import list_graph_sets, load_graphs, split_graphs

# name: graphs, least and most nodes, largest degree, as published
FACTS = {
    "community_small": (100, 12, 20, 9),
    "ego_small": (200, 4, 17, 16),
    "enzymes": (587, 10, 125, 9),
    "grid": (100, 110, 361, 4),
}
# the published number of node features: one for each degree from 0
NUM_FEATURES = {"community_small": 10, "ego_small": 17, "enzymes": 10, "grid": 5}


def facts(graphs):
    sizes = [len(graph) for graph in graphs]
    degree = max(degree for graph in graphs for _, degree in graph.degree)
    return len(graphs), min(sizes), max(sizes), degree


@pytest.mark.parametrize("name", sorted(FACTS))
def test_shipped_sets_are_as_published(name):
    found = facts(load_graphs(name))
    assert found == FACTS[name]
    assert found[-1] < NUM_FEATURES[name]


@pytest.mark.parametrize("name", sorted(FACTS))
def test_shipped_graphs_have_no_isolated_nodes_or_loops(name):
    for graph in load_graphs(name):
        assert nx.number_of_isolates(graph) == 0
        assert nx.number_of_selfloops(graph) == 0
        assert sorted(graph) == list(range(len(graph)))


def test_shipped_sets_keep_their_order():
    sizes = [len(graph) for graph in load_graphs("community_small")[:5]]
    assert sizes == [14, 16, 16, 14, 20]
    assert len(load_graphs("grid")[0]) == 150


def test_test_graphs_repeat_training_graphs():
    training, test = split_graphs(load_graphs("ego_small"))
    repeated = sum(any(nx.is_isomorphic(graph, seen) for seen in training) for graph in test)
    assert (repeated, len(test)) == (28, 40)


def test_all_sets_are_listed():
    assert list_graph_sets() == sorted(FACTS)


def test_shipped_grids_are_grids():
    for graph in load_graphs("grid")[:10]:
        corners = [node for node, degree in graph.degree if degree == 2]
        width = corners[1] + 1
        grid = nx.grid_2d_graph(len(graph) // width, width)
        assert nx.utils.graphs_equal(graph, nx.convert_node_labels_to_integers(grid))


@pytest.mark.parametrize("packed", [False, True])
def test_files_give_the_graphs_they_hold(tmp_path, packed):
    text = json.dumps([{"num_nodes": 4, "edges": [[0, 1], [2, 1]]}, {"num_nodes": 1, "edges": []}])
    path = tmp_path / ("graphs.json.gz" if packed else "graphs.json")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    first, second = load_graphs(path)
    assert sorted(first) == [0, 1, 2, 3]
    assert {frozenset(edge) for edge in first.edges} == {frozenset({0, 1}), frozenset({1, 2})}
    assert (len(second), second.number_of_edges()) == (1, 0)
    assert len(load_graphs(str(path))) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"graphs": []}, "list of graphs"),
        ([{"num_nodes": 3, "edges": [[0, 3]]}], "from 0 to 2"),
        ([{"num_nodes": 3, "edges": [[-1, 1]]}], "from 0 to 2"),
        ([{"num_nodes": 3, "edges": [[1, 1]]}], "two different"),
        ([{"num_nodes": 3, "edges": [[0, 1, 2]]}], "two integers"),
        ([{"num_nodes": 3, "edges": [[0, 1.0]]}], "two integers"),
        ([{"num_nodes": 0, "edges": []}], "positive integer, got 0"),
        ([{"num_nodes": True, "edges": []}], "positive integer, got True"),
        ([{"edges": []}], "positive integer, got None"),
        ([{"num_nodes": 3}], "list of edges"),
        ([[0, 1] * 99], "list of edges"),
    ],
)
def test_files_of_another_format_are_refused(tmp_path, content, message):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as caught:
        load_graphs(path)
    line = str(caught.value)
    assert "bad.json" in line
    assert "\n" not in line
    assert len(line) < len(str(path)) + 120


def test_the_graph_at_fault_is_named(tmp_path):
    path = tmp_path / "bad.json"
    path.write_text('[{"num_nodes": 2, "edges": []}, {"num_nodes": 2, "edges": [[0, 5]]}]')
    with pytest.raises(ValueError, match="graph 1: edge"):
        load_graphs(path)


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"community_small.*or a file, got 'nothing'"):
        load_graphs("nothing")
    packed = gzip.compress(b"[" + b'{"num_nodes": 3, "edges": []},' * 99)
    for name, content in {
        "cut.json": b'[{"num_nodes": 3, "ed',
        "cut.json.gz": packed[: len(packed) // 2],
        "plain.json.gz": b"[]",
        "binary.json": b"\xff\xfe\x00",
        "wrong.json.gz": packed[:20] + b"\x00\xff\x00" + packed[23:],
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="not readable") as caught:
            load_graphs(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_first_fifth_is_the_test_set():
    graphs = load_graphs("enzymes")
    training, test = split_graphs(graphs)
    assert (len(training), len(test)) == (470, 117)
    assert [*test, *training] == graphs
    with pytest.raises(ValueError, match="at least 5"):
        split_graphs(graphs[:4])
