"""Vectors of graphs, priors on them, and what is observed of them."""

import pytest
import torch

from invdiff.graphs.coordinates import GraphCoordinates
from invdiff.graphs.log_odds import LogOddsDenoiser
from invdiff.graphs.observations import draw_known_pairs, observe_pairs, observe_subgraph
from invdiff.graphs.schedules import VP
from invdiff.graphs.scores import DenoiserScores, ScoreDenoiser
from invdiff.graphs.state import GraphState, from_pairs
from invdiff.graphs.vector_prior import VectorDenoiser
from invdiff.priors import GaussianPrior

COORDINATES = GraphCoordinates(5, 3)


def vectors(generator, *batch):
    return torch.randn(*batch, COORDINATES.size, generator=generator)


def test_vectors_and_graphs_are_the_same_numbers(generator):
    x = vectors(generator, 2, 4)
    state = COORDINATES.to_state(x)
    assert state.nodes.shape == (2, 4, 5, 3)
    assert state.mask.all()
    assert torch.equal(state.adjacency, state.adjacency.mT)
    assert torch.equal(COORDINATES.to_vector(state), x)


def test_an_index_is_where_its_entry_stands(generator):
    x = vectors(generator)
    state = COORDINATES.to_state(x)
    for i in range(5):
        for j in range(5):
            if i != j:
                assert x[COORDINATES.pair_index(i, j)] == state.adjacency[i, j]
    assert torch.equal(x[: COORDINATES.first_pair].reshape(5, 3), state.nodes)


def test_wrong_sizes_are_refused(generator):
    with pytest.raises(ValueError, match="expected 25 numbers, got 24"):
        COORDINATES.to_state(torch.zeros(24))
    state = GraphCoordinates(5, 2).to_state(torch.zeros(20))
    with pytest.raises(ValueError, match=r"features \(5, 3\)"):
        COORDINATES.to_vector(state)
    for pair in ((1, 1), (0, 5), (-1, 2)):
        with pytest.raises(ValueError, match="two of the nodes"):
            COORDINATES.pair_index(*pair)
    for sizes in ((1, 0), (3, -1)):
        with pytest.raises(ValueError, match="at least 2 nodes"):
            GraphCoordinates(*sizes)


def network():
    return LogOddsDenoiser(3, 0.3).requires_grad_(False)


class HalvedEdges:
    """A denoiser of graphs without features."""

    num_features = 0

    def __call__(self, state, sigma):
        return GraphState(state.nodes, state.adjacency / 2, state.mask)


def test_vectors_are_denoised_as_graphs(generator):
    denoiser = network()
    prior, x = VectorDenoiser(denoiser, 5), vectors(generator, 2, 4)
    sigma = torch.rand(2, 4, generator=generator) + 0.1
    state = COORDINATES.to_state(x)
    expected = COORDINATES.to_vector(denoiser(state, sigma))
    torch.testing.assert_close(prior(x, sigma), expected)
    alone = prior(x[1, 2], sigma[1, 2])
    torch.testing.assert_close(alone, expected[1, 2], rtol=1e-5, atol=1e-5)


def test_graphs_without_features_are_vectors_of_pairs(generator):
    prior = VectorDenoiser(HalvedEdges(), 5)
    assert prior.image_shape == (10,)
    x = torch.randn(7, 10, generator=generator)
    torch.testing.assert_close(prior(x, torch.tensor(0.5)), x / 2)


def test_another_prior_answers_above_the_highest_level(generator):
    denoiser, above = network(), GaussianPrior(torch.full((25,), 0.4), 0.2)
    prior = VectorDenoiser(denoiser, 5, max_sigma=0.8, above=above)
    below, x = VectorDenoiser(denoiser, 5), vectors(generator, 2)
    mixed = prior(x, torch.tensor([0.5, 2.0]))
    torch.testing.assert_close(mixed[0], below(x[0], torch.tensor(0.5)), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(mixed[1], above(x[1], torch.tensor(2.0)))
    torch.testing.assert_close(prior(x, torch.tensor(2.0)), above(x, torch.tensor(2.0)))
    torch.testing.assert_close(prior(x, torch.tensor(0.8)), below(x, torch.tensor(0.8)))


def test_scores_that_end_at_time_one_need_a_prior_above():
    scores = ScoreDenoiser(DenoiserScores(network(), VP()))
    with pytest.raises(ValueError, match=r"end at sigma = 0\.8563"):
        VectorDenoiser(scores, 5)
    above = GaussianPrior(torch.full((25,), 0.4), 0.2)
    assert VectorDenoiser(scores, 5, max_sigma=0.856, above=above).image_shape == (25,)
    last = float(VP().sigma(torch.ones(())))
    assert VectorDenoiser(scores, 5, max_sigma=last, above=above).max_sigma == last
    with pytest.raises(ValueError, match=r"end at sigma = 0\.8563.*got 0\.9"):
        VectorDenoiser(scores, 5, max_sigma=0.9, above=above)


@pytest.mark.parametrize(
    ("max_sigma", "above", "message"),
    [
        (0.8, None, "or neither"),
        (None, GaussianPrior(torch.zeros(25), 1.0), "or neither"),
        (-1.0, GaussianPrior(torch.zeros(25), 1.0), "positive max_sigma"),
        (0.8, GaussianPrior(torch.zeros(24), 1.0), r"\(24,\)"),
    ],
)
def test_refuses_half_a_prior(max_sigma, above, message):
    with pytest.raises(ValueError, match=message):
        VectorDenoiser(network(), 5, max_sigma=max_sigma, above=above)


def test_the_known_entries_are_kept_in_order(generator):
    known = from_pairs(torch.arange(10) % 3 == 0, 5)
    nodes = torch.tensor([True, False, False, True, False])
    x = vectors(generator)
    state = COORDINATES.to_state(x)
    rows, columns = known.triu(1).nonzero(as_tuple=True)
    pairs = state.adjacency[rows, columns]
    assert torch.equal(observe_pairs(COORDINATES, known)(x), pairs)
    expected = torch.cat([state.nodes[nodes].flatten(), pairs])
    assert torch.equal(observe_pairs(COORDINATES, known, nodes)(x), expected)


def test_a_subgraph_is_its_nodes_and_their_pairs(generator):
    x = vectors(generator)
    state = COORDINATES.to_state(x)
    chosen = torch.tensor([False, True, False, True, True])
    inner = GraphState(
        state.nodes[chosen], state.adjacency[chosen][:, chosen], torch.ones(3, dtype=torch.bool)
    )
    expected = GraphCoordinates(3, 3).to_vector(inner)
    assert torch.equal(observe_subgraph(COORDINATES, chosen)(x), expected)


def test_every_pair_is_hidden_as_often(generator):
    draws = torch.stack([draw_known_pairs(5, 4, generator=generator) for _ in range(2000)])
    assert torch.equal(draws, draws.mT)
    hidden = ~draws & ~torch.eye(5, dtype=torch.bool)
    assert (hidden.sum((1, 2)) == 8).all()
    share = hidden.double().mean(0)[~torch.eye(5, dtype=torch.bool)]
    assert (share - 0.4).abs().max() < 4.5 * (0.24 / 2000) ** 0.5


def test_bad_masks_are_refused(generator):
    asymmetric = torch.zeros(5, 5, dtype=torch.bool)
    asymmetric[0, 1] = True
    for bad, message in (
        (asymmetric, "symmetric"),
        (torch.ones(4, 4, dtype=torch.bool), "boolean tensor"),
        (torch.ones(5, 5), "boolean tensor"),
        (torch.eye(5, dtype=torch.bool), "no pair"),
    ):
        with pytest.raises(ValueError, match=message):
            observe_pairs(COORDINATES, bad)
    with pytest.raises(ValueError, match="known_nodes"):
        observe_subgraph(COORDINATES, torch.ones(4, dtype=torch.bool))
    with pytest.raises(ValueError, match="is known"):
        observe_subgraph(COORDINATES, torch.zeros(5, dtype=torch.bool))
    for count in (0, 10):
        with pytest.raises(ValueError, match="1 to 9 pairs"):
            draw_known_pairs(5, count, generator=generator)
