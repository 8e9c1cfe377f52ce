"""From partly known graphs to samples, probabilities of edges and scores of links."""

import math

import pytest
import torch

from invdiff.graphs.completion import GraphCompletion, complete_graph, graph_likelihood
from invdiff.graphs.coordinates import GraphCoordinates
from invdiff.graphs.edge_mixture import EdgeMixture
from invdiff.graphs.link_scores import link_scores, ranking_auc
from invdiff.graphs.observations import draw_known_pairs
from invdiff.graphs.state import from_pairs
from invdiff.rng import derive_generator
from invdiff.samplers import HeunSampler, RedDiff, Samples
from operators import GaussianNoise
from operators.noise import BinarySymmetricNoise


def partly_known(generator, *batch, num_nodes=5):
    """Symmetric zeros and ones with the same NaNs in each matrix."""
    pairs = torch.randint(2, (*batch, num_nodes * (num_nodes - 1) // 2), generator=generator)
    known = draw_known_pairs(num_nodes, 4, generator=generator)
    adjacency = torch.where(known, from_pairs(pairs.float(), num_nodes), math.nan)
    return adjacency, known


def test_probabilities_are_weighted_shares():
    coordinates = GraphCoordinates(3)
    values = torch.tensor([[0.9, 0.1, 0.7], [0.2, 0.3, 0.6]])
    completion = GraphCompletion(coordinates, Samples(values, torch.tensor([0.75, 0.25]).log()))
    expected = from_pairs(torch.tensor([0.75, 0.0, 1.0]), 3)
    torch.testing.assert_close(completion.edge_probabilities(), expected)
    assert torch.equal(completion.graphs().adjacency, from_pairs(values, 3))


def test_known_entries_become_the_measurement(generator):
    adjacency, known = partly_known(generator, 2)
    nodes = torch.full((2, 5, 3), math.nan)
    nodes[:, 1] = torch.randn(2, 3, generator=generator)
    coordinates = GraphCoordinates(5, 3)
    likelihood = graph_likelihood(coordinates, adjacency, GaussianNoise(0.1), nodes=nodes)
    rows, columns = known.triu(1).nonzero(as_tuple=True)
    expected = torch.cat([nodes[:, 1], adjacency[:, rows, columns]], -1)
    assert torch.equal(likelihood.y, expected)
    assert not torch.equal(likelihood.operator.mask, torch.ones(25, dtype=torch.bool))


@pytest.mark.parametrize("change", ["asymmetric", "one-sided", "different", "unknown", "half"])
def test_bad_adjacencies_are_refused(change, generator):
    adjacency, known = partly_known(generator, 2)
    i, j = known.triu(1).nonzero()[0].tolist()
    if change == "asymmetric":
        adjacency[0, i, j] = 1 - adjacency[0, i, j]
    elif change == "one-sided":
        adjacency[0, i, j] = math.nan
    elif change == "different":
        adjacency[0, i, j] = adjacency[0, j, i] = math.nan
    elif change == "unknown":
        adjacency[:] = math.nan
    else:
        adjacency[0, i, j] = adjacency[0, j, i] = 0.5
    message = {"different": "same entries", "unknown": "observes no entry", "half": "neither 0"}
    with pytest.raises(ValueError, match=message.get(change, "symmetric")):
        graph_likelihood(GraphCoordinates(5), adjacency, BinarySymmetricNoise(0.1))


def test_a_batch_of_graphs_equals_single_graphs(generator):
    adjacency, _ = partly_known(generator, 3)
    probabilities = torch.rand(2, 10, generator=generator)
    prior, sampler = EdgeMixture(torch.ones(2), probabilities), RedDiff(num_steps=15)
    settings = {"noise": BinarySymmetricNoise(0.1)}
    streams = [derive_generator(0, p) for p in range(3)]
    together = complete_graph(adjacency, prior, sampler, 4, generator=streams, **settings)
    assert together.edge_probabilities().shape == (3, 5, 5)
    for p in range(3):
        alone = complete_graph(
            adjacency[p], prior, sampler, 4, generator=derive_generator(0, p), **settings
        )
        torch.testing.assert_close(
            together.samples.values[:, p], alone.samples.values, rtol=1e-5, atol=1e-5
        )


def test_refuses_a_prior_of_other_graphs(generator):
    adjacency, _ = partly_known(generator)
    prior = EdgeMixture(torch.ones(1), torch.full((1, 11), 0.5))
    with pytest.raises(ValueError, match=r"graphs of 5 nodes, got \(11,\)"):
        complete_graph(
            adjacency, prior, RedDiff(), 2, noise=GaussianNoise(0.1), generator=generator
        )


def test_scores_of_a_small_graph_by_hand():
    """0 and 2 share their neighbours 1 and 3, and 2 has 4 for itself."""
    adjacency = torch.zeros(5, 5)
    for i, j in ((0, 1), (1, 2), (0, 3), (2, 3), (2, 4)):
        adjacency[i, j] = adjacency[j, i] = 1
    adjacency[0, 2] = adjacency[2, 0] = math.nan
    found = link_scores(adjacency, torch.tensor([[0, 2], [1, 0]]))
    expected = {
        "common_neighbors": [2, 0],
        "adamic_adar": [2 / math.log(2), 0],
        "jaccard": [2 / 3, 0],
        "preferential_attachment": [6, 4],
    }
    for name, values in expected.items():
        assert found[name].tolist() == pytest.approx(values)


def test_auc_counts_pairs_of_an_edge_and_none(generator):
    scores = torch.randint(6, (40,), generator=generator).double()
    edges = torch.rand(40, generator=generator) < 0.4
    difference = scores[edges][:, None] - scores[~edges]
    expected = ((difference > 0).double() + (difference == 0).double() / 2).mean()
    assert ranking_auc(scores, edges) == pytest.approx(float(expected))
    assert ranking_auc(-scores, edges) == pytest.approx(1 - float(expected))


def test_link_scores_and_auc_refuse_bad_shapes():
    with pytest.raises(ValueError, match=r"\(count, 2\)"):
        link_scores(torch.zeros(3, 3), torch.tensor([0, 1]))
    for pair in ([1, 1], [0, 3], [-1, 2]):
        with pytest.raises(ValueError, match="two of the nodes 0 to 2, got"):
            link_scores(torch.zeros(3, 3), torch.tensor([[0, 1], pair]))
    for edges in (torch.ones(3, dtype=torch.bool), torch.tensor([True, False]), torch.ones(3)):
        with pytest.raises(ValueError, match="ranking_auc"):
            ranking_auc(torch.zeros(3), edges)


def test_vectors_of_the_prior_are_sampled_without_data():
    prior = EdgeMixture(torch.ones(1), torch.tensor([[0.95, 0.05, 0.5]]))
    sampler = HeunSampler(num_steps=20, sigma_max=20.0)
    values = sampler.sample(prior, 500, generator=derive_generator(0)).values
    # at most one in a thousand is left between the modes by so few steps
    assert ((values - values.round()).abs() < 0.05).double().mean() > 0.97
    share = (values > 0.5).double().mean(0)
    error = (prior.mean() * (1 - prior.mean()) / 500).sqrt()
    assert ((share - prior.mean()).abs() < 4.5 * error + 0.02).all()
