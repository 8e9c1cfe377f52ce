"""Evaluation of generated graphs, and the floors of data whose values are known."""

import math

import networkx as nx
import numpy as np
import pytest
import torch

from invdiff.graphs.datasets import load_graphs, split_graphs
from invdiff.graphs.descriptors import describe
from invdiff.graphs.evaluation import drawn_floor, evaluate_graphs, evaluate_runs
from invdiff.graphs.graph_mmd import graph_mmd
from invdiff.graphs.isomorphism import IsomorphismClasses


def graphs(seed: int, count: int, density: float = 0.3) -> list[np.ndarray]:
    return [
        nx.to_numpy_array(nx.gnp_random_graph(8 + k % 5, density, seed=100 * seed + k))
        for k in range(count)
    ]


def test_evaluation_is_that_of_its_parts():
    test, training, generated = graphs(0, 6), graphs(1, 15), graphs(2, 10)
    found = evaluate_graphs(generated, test, training, first_only=False)
    expected = describe(test)
    assert found.mmd == graph_mmd(expected, describe(generated), protocol="emd")
    assert found.floor == graph_mmd(expected, describe(training), protocol="emd")
    assert found.first_floor == graph_mmd(expected, describe(training[:6]), protocol="emd")
    assert (found.novelty, found.uniqueness, found.num_scored) == (1, 1, 10)


@pytest.mark.parametrize("protocol", ["emd", "tv"])
def test_first_only_scores_as_many_as_there_are_test_graphs(protocol):
    test, training, generated = graphs(0, 6), graphs(1, 15), graphs(2, 10)
    first = evaluate_graphs(generated, test, training, first_only=True, protocol=protocol)
    alone = evaluate_graphs(generated[:6], test, training, first_only=False, protocol=protocol)
    assert first == alone
    assert first.num_scored == 6
    every = evaluate_graphs(generated, test, training, first_only=False, protocol=protocol)
    assert first.mmd != every.mmd


def test_memory_of_the_training_graphs_scores_the_floor_and_is_not_new():
    test, training = graphs(0, 6), graphs(1, 15)
    found = evaluate_graphs([*training, *training], test, training, first_only=False)
    assert vars(found.mmd) == pytest.approx(vars(found.floor))
    assert (found.novelty, found.uniqueness) == (0, 0.5)
    assert evaluate_graphs(training, test, training, first_only=True).mmd == found.first_floor


def test_test_graphs_are_at_no_distance():
    found = evaluate_graphs(graphs(0, 6), graphs(0, 6), graphs(1, 15), first_only=False)
    assert max(abs(value) for value in vars(found.mmd).values()) < 1e-14
    assert found.floor.average > 0.001


def test_tensors_and_networkx_graphs_score_alike():
    test, training, generated = graphs(0, 6), graphs(1, 15), graphs(2, 10)
    found = evaluate_graphs(
        [torch.from_numpy(a).float() for a in generated],
        [nx.from_numpy_array(a) for a in test],
        [a.astype(int) for a in training],
        first_only=False,
    )
    assert found == evaluate_graphs(generated, test, training, first_only=False)


def test_graphs_without_edges_or_neighbours_are_scored_and_those_without_nodes_are_not():
    test, training = graphs(0, 6), graphs(1, 15)
    odd = [np.zeros((1, 1)), np.zeros((7, 7)), np.zeros((0, 0)), np.zeros((7, 7))]
    found = evaluate_graphs(odd, test, training, first_only=False)
    assert (found.num_scored, found.novelty) == (3, 1)
    assert found.uniqueness == pytest.approx(2 / 3)
    assert all(math.isfinite(value) for value in found.scores().values())
    assert found.mmd.average > 10 * found.floor.average


def test_runs_have_a_mean_and_a_deviation():
    test, training = graphs(0, 6), graphs(1, 15)
    runs = [graphs(2, 8), graphs(3, 9), [*training[:3], *graphs(4, 3)]]
    found = evaluate_runs(runs, test, training, first_only=False)
    alone = [evaluate_graphs(run, test, training, first_only=False) for run in runs]
    assert found.runs == tuple(alone)
    for name, value in found.mean.items():
        column = [one.scores()[name] for one in alone]
        assert value == pytest.approx(sum(column) / 3)
        assert found.std[name] == pytest.approx(torch.tensor(column, dtype=torch.float64).std())
    assert found.mean["novelty"] == pytest.approx(2.5 / 3)
    single = evaluate_runs(runs[:1], test, training, first_only=False)
    assert single.mean == alone[0].scores()
    assert all(math.isnan(value) for value in single.std.values())


def test_empty_sets_are_refused():
    some = graphs(0, 3)
    for sets in (([], some, some), (some, [], some), (some, some, [])):
        with pytest.raises(ValueError, match="got none"):
            evaluate_graphs(*sets, first_only=True)
    with pytest.raises(ValueError, match="got none"):
        evaluate_graphs([np.zeros((0, 0))], some, some, first_only=False)
    with pytest.raises(ValueError, match="one run"):
        evaluate_runs([], some, some, first_only=False)
    with pytest.raises(ValueError, match="'gaussian'"):
        evaluate_graphs(some, some, some, first_only=False, protocol="gaussian")


# degree, cluster, orbit, spectral: measured with the method's code and the orca binary
@pytest.mark.parametrize(
    ("name", "floor", "first_floor"),
    [
        ("community_small", (0.0034, 0.0092, 0.0010, 0.034), (0.0055, 0.0170, 0.0010, 0.072)),
        ("ego_small", (0.0142, 0.0273, 0.0044, 0.024), (0.0227, 0.0310, 0.0092, 0.039)),
    ],
)
def test_floors_are_those_of_the_code_of_the_method(name, floor, first_floor):
    training, test = split_graphs(load_graphs(name))
    found = evaluate_graphs(training, test, training, first_only=True)
    # half a unit of the last figure given
    rounding = np.array([6e-5, 6e-5, 6e-5, 6e-4])
    for values, expected in ((found.floor, floor), (found.first_floor, first_floor)):
        assert (abs(np.array(list(vars(values).values())) - expected) < rounding).all()


@pytest.mark.parametrize(
    ("name", "known", "distinct"),
    [("community_small", 10, 52), ("ego_small", 28, 82), ("grid", 17, 46)],
)
def test_test_graphs_that_are_training_graphs(name, known, distinct):
    training, test = split_graphs(load_graphs(name))
    classes = IsomorphismClasses(training)
    assert sum(graph in classes for graph in test) == known
    for graph in test:
        classes.add(graph)
    assert len(classes) == distinct


def test_sets_drawn_from_the_training_graphs_are_above_the_floor_of_all():
    training, test = split_graphs(load_graphs("ego_small"))
    generator = np.random.default_rng(0)
    found = drawn_floor(test, training, len(test), num_draws=8, generator=generator)
    floor = evaluate_graphs(training, test, training, first_only=True).floor
    averages = [mmd.average for mmd in found]
    assert len(set(averages)) == 8
    assert floor.average < np.mean(averages) < 3 * floor.average
    with pytest.raises(ValueError, match="at least 1, got 0, 8"):
        drawn_floor(test, training, 0, num_draws=8, generator=generator)
