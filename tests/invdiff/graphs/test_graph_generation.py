"""Sizes, starts and chunks of new graphs."""

import pytest
import torch
from gaussian_runs import FEATURES, NODES, coordinates, random_graphs
from test_graph_interfaces import noisy_state, scores_of_networks

from invdiff.graphs.exponential import Exponential
from invdiff.graphs.generation import draw_sizes, generate, matched_start, state_moments
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


def test_moments_are_over_present_nodes_and_pairs(generator):
    state = noisy_state(generator, [3, 1, 2], FEATURES)
    nodes = torch.cat([state.nodes[0, :3], state.nodes[1, :1], state.nodes[2, :2]]).double()
    pairs = torch.stack([*(state.adjacency[0, i, j] for i, j in ((0, 1), (0, 2), (1, 2))),
                         state.adjacency[2, 0, 1]]).double()  # fmt: skip
    found = state_moments(state)
    torch.testing.assert_close(found.node_mean, nodes.mean(0))
    torch.testing.assert_close(found.node_variance, nodes.var(0, correction=0))
    torch.testing.assert_close(found.pair_mean, pairs.mean())
    torch.testing.assert_close(found.pair_variance, pairs.var(correction=0))


def test_matched_start_has_the_moments_of_the_noisy_data(generator):
    system, count = GraphSystem(VP(), VE(0.2, 1.0)), 4000
    data = noisy_state(generator, [4] * count, FEATURES)
    data = masked(GraphState(data.nodes * 0.5 + 2, data.adjacency * 0.3 + 0.4, data.mask))
    noise = noisy_state(generator, [4] * count, FEATURES)
    other = noisy_state(generator, [4] * count, FEATURES)
    noisy = state_moments(system.perturbed(data, torch.ones(()), other))
    found = state_moments(matched_start(noise, system, state_moments(data)))
    nodes, pairs = 4 * count, 6 * count
    for a, b, v, n in (
        (found.node_mean, noisy.node_mean, noisy.node_variance, nodes),
        (found.pair_mean, noisy.pair_mean, noisy.pair_variance, pairs),
    ):
        assert ((a - b).abs() < STANDARD_ERRORS * (v / n).sqrt()).all()
    for a, b, n in (
        (found.node_variance, noisy.node_variance, nodes),
        (found.pair_variance, noisy.pair_variance, pairs),
    ):
        assert ((a - b).abs() < STANDARD_ERRORS * b * (4 / n) ** 0.5).all()


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
        for start in ({}, {"start": "matched", "moments": state_moments(data)})
    )
    error = STANDARD_ERRORS * (0.2 / count) ** 0.5
    assert ((matched.mean(0) - graphs.mean).abs() < error).all()
    assert ((published.mean(0) - graphs.mean).abs() > 2 * error).all()


def test_sizes_are_those_of_training_graphs_in_their_frequencies(generator):
    training = size_mask(torch.tensor([2, 2, 2, 7]), 8)
    sizes = draw_sizes(training, 2000, generator)
    assert set(sizes.tolist()) == {2, 7}
    share = (sizes == 2).double().mean().item()
    assert abs(share - 0.75) < STANDARD_ERRORS * (0.75 * 0.25 / 2000) ** 0.5
    few = draw_sizes(training, 5, torch.Generator().manual_seed(0))
    many = draw_sizes(training, 9, torch.Generator().manual_seed(0))
    assert torch.equal(few, many[:5])


def test_refuses_what_is_no_request(generator):
    scores, moments = scores_of_networks(2), state_moments(noisy_state(generator, [3], 2))

    def ask(mask=MASK, **settings):
        generate(scores, mask, EulerMaruyama(1), generator=generator, **settings)

    for mask in (MASK[0], MASK[:0]):
        with pytest.raises(ValueError, match="mask"):
            ask(mask)
    with pytest.raises(ValueError, match="start"):
        ask(start="zero")
    with pytest.raises(ValueError, match="no moments"):
        ask(start="matched")
    with pytest.raises(ValueError, match="standard"):
        ask(moments=moments)
    with pytest.raises(ValueError, match="batch_size"):
        ask(batch_size=0)
    with pytest.raises(ValueError, match="pair"):
        state_moments(noisy_state(generator, [1, 1], 2))
