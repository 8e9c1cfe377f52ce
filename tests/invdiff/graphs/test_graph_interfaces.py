"""What the parts of this package agree on."""

import torch

from invdiff.graphs.log_odds import LogOddsDenoiser
from invdiff.graphs.networks import AdjacencyNetwork, NodeNetwork
from invdiff.graphs.schedules import VE, VP
from invdiff.graphs.scores import DenoiserScores, NetworkScores, ScoreDenoiser
from invdiff.graphs.state import GraphState, masked, normal_noise, size_mask
from invdiff.graphs.system import GraphSystem
from invdiff.rng import problem_streams


def noisy_state(generator: torch.Generator, sizes: list[int], num_features: int) -> GraphState:
    mask = size_mask(torch.tensor(sizes), max(sizes))
    empty = torch.zeros(*mask.shape, mask.shape[-1])
    state = GraphState(torch.zeros(*mask.shape, num_features), empty, mask)
    return normal_noise(state, problem_streams(generator, len(sizes), ()))


def permuted(state: GraphState, order: torch.Tensor) -> GraphState:
    return GraphState(
        state.nodes[:, order], state.adjacency[:, order][:, :, order], state.mask[:, order]
    )


def scores_of_networks(num_features: int) -> NetworkScores:
    system = GraphSystem(VP(), VE(0.2, 1.0))
    nodes, adjacency = NodeNetwork(num_features), AdjacencyNetwork(num_features)
    return NetworkScores(nodes, adjacency, system, num_features)


def test_networks_are_equivariant_symmetric_and_masked(generator):
    state = noisy_state(generator, [5, 7, 3], 4)
    order = torch.randperm(7, generator=generator)
    t = torch.tensor([0.1, 0.5, 0.9])
    for scores in (scores_of_networks(4), DenoiserScores(LogOddsDenoiser(4, 0.3), VP())):
        found, moved = scores(state, t), scores(permuted(state, order), t)
        expected = permuted(found, order)
        assert (moved.nodes - expected.nodes).abs().max() < 1e-5 * found.nodes.abs().max()
        largest = found.adjacency.abs().max()
        assert (moved.adjacency - expected.adjacency).abs().max() < 1e-5 * largest
        assert torch.equal(found.adjacency, found.adjacency.mT)
        clean = masked(found)
        assert torch.equal(clean.nodes, found.nodes)
        assert torch.equal(clean.adjacency, found.adjacency)


def test_scores_and_denoisers_convert(generator):
    denoiser = LogOddsDenoiser(4, 0.3)
    state, sigma = noisy_state(generator, [5, 7], 4), torch.tensor([0.2, 0.7])
    back = ScoreDenoiser(DenoiserScores(denoiser, VP(0.1, 8.0)))(state, sigma)
    expected = denoiser(state, sigma)
    torch.testing.assert_close(back.nodes, expected.nodes, atol=1e-4, rtol=0)
    torch.testing.assert_close(back.adjacency, expected.adjacency, atol=1e-4, rtol=0)
