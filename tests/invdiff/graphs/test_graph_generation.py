"""Starts and chunks of new graphs."""

import pytest
import torch
from gaussian_runs import FEATURES, NODES, coordinates, random_graphs
from test_graph_interfaces import noisy_state, scores_of_networks

from invdiff.graphs.exponential import Exponential
from invdiff.graphs.generation import generate, matched_start
from invdiff.graphs.moments import GraphMoments, graph_moments
from invdiff.graphs.reverse_sde import EulerMaruyama
from invdiff.graphs.schedules import VE, VP
from invdiff.graphs.state import GraphState, from_pairs, masked, size_mask
from invdiff.graphs.system import GraphSystem
from invdiff.rng import derive_generator

STANDARD_ERRORS = 4.5
MASK = size_mask(torch.tensor([3, 5, 2, 4, 5]), 5)


def test_chunks_and_count_don_t_change_a_graph():
    scores = scores_of_networks(4)

    def graphs(mask, batch_size=None):
        own = derive_generator(0, "graphs")
        with torch.no_grad():
            return generate(scores, mask, EulerMaruyama(3), generator=own, batch_size=batch_size)

    whole = graphs(MASK)
    for other in (graphs(MASK, 2), graphs(MASK, 9), graphs(MASK[:3])):
        count = len(other.mask)
        torch.testing.assert_close(other.nodes, whole.nodes[:count], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(other.adjacency, whole.adjacency[:count], atol=1e-5, rtol=1e-5)


def test_graphs_have_the_nodes_that_were_asked_for():
    with torch.no_grad():
        found = generate(scores_of_networks(4), MASK, Exponential(3), generator=derive_generator(0))
    assert torch.equal(found.mask, MASK)
    assert found.nodes.shape == (5, 5, 4)
    clean = masked(found)
    assert torch.equal(clean.nodes, found.nodes)
    assert torch.equal(clean.adjacency, found.adjacency)


def test_matched_start_has_the_moments_of_the_noisy_data(generator):
    system, count = GraphSystem(VP(), VE(0.2, 1.0)), 4000
    data = noisy_state(generator, [4] * count, FEATURES)
    data = masked(GraphState(data.nodes * 0.5 + 2, data.adjacency * 0.3 + 0.4, data.mask))
    noise = noisy_state(generator, [4] * count, FEATURES)
    other = noisy_state(generator, [4] * count, FEATURES)
    noisy = graph_moments(system.perturbed(data, torch.ones(()), other))
    found = graph_moments(matched_start(noise, system, graph_moments(data)))
    nodes, pairs = 4 * count, 6 * count
    for a, b, v, n in (
        (found.node_mean, noisy.node_mean, noisy.node_variance, nodes),
        (found.edge_mean, noisy.edge_mean, noisy.edge_variance, pairs),
    ):
        a, b, v = (torch.tensor(value) for value in (a, b, v))
        assert ((a - b).abs() < STANDARD_ERRORS * (v / n).sqrt()).all()
    for a, b, n in (
        (found.node_variance, noisy.node_variance, nodes),
        (found.edge_variance, noisy.edge_variance, pairs),
    ):
        a, b = torch.tensor(a), torch.tensor(b)
        assert ((a - b).abs() < STANDARD_ERRORS * b * (4 / n) ** 0.5).all()


def test_a_matched_start_keeps_the_digits_of_the_moments():
    moments = GraphMoments({3: 1}, (0.1,), (0.0,), 0.3, 0.0)
    empty = GraphState(torch.zeros(1, 3, 1), torch.zeros(1, 3, 3), torch.ones(1, 3).bool())
    still = GraphState(empty.nodes.double(), empty.adjacency.double(), empty.mask)
    start = matched_start(still, GraphSystem(VE(), VE()), moments)
    assert start.nodes.unique().tolist() == [0.1]
    assert start.adjacency.unique().tolist() == [0.0, 0.3]


def test_a_matched_start_removes_the_bias_of_the_published_one():
    graphs, count = random_graphs(VP(), VP()), 500
    # one mean and one variance for each feature, as the start knows them
    graphs.mean = coordinates(
        GraphState(
            torch.tensor([1.5, -1.0]).expand(NODES, FEATURES),
            from_pairs(torch.full((NODES,), 0.7), NODES),
            torch.ones(NODES, dtype=torch.bool),
        )
    ).double()
    graphs.covariance = 0.2 * torch.eye(len(graphs.mean), dtype=torch.float64)
    mask = torch.ones(count, NODES, dtype=torch.bool)
    data = graphs.sample(20_000, torch.zeros(()), generator=derive_generator(1))
    settings = {"dtype": torch.float64, "batch_size": 200}
    integrator = Exponential(20, denoise=False)
    published, matched = (
        coordinates(
            generate(graphs, mask, integrator, generator=derive_generator(0), **start, **settings)
        )
        for start in ({}, {"moments": graph_moments(data)})
    )
    error = STANDARD_ERRORS * (0.2 / count) ** 0.5
    assert ((matched.mean(0) - graphs.mean).abs() < error).all()
    assert ((published.mean(0) - graphs.mean).abs() > 2 * error).all()


def test_refuses_what_is_no_request(generator):
    scores = scores_of_networks(2)

    def ask(mask=MASK, **settings):
        generate(scores, mask, EulerMaruyama(1), generator=generator, **settings)

    for mask in (MASK[0], MASK[:0]):
        with pytest.raises(ValueError, match="mask"):
            ask(mask)
    with pytest.raises(ValueError, match="features"):
        ask(moments=graph_moments(noisy_state(generator, [3], 4)))
    with pytest.raises(ValueError, match="batch_size"):
        ask(batch_size=0)
