"""The closed form that the integrators are measured against."""

import pytest
import torch
from gaussian_runs import FEATURES, NODES, coordinates, graph, random_graphs

from invdiff.graphs.gaussian_graphs import GaussianGraphs
from invdiff.graphs.schedules import VE, VP, SubVP
from invdiff.graphs.scores import ScoreDenoiser
from invdiff.graphs.system import GraphSystem, scaled_by

MIXES = [(VP(), VP()), (VP(), VE(0.2, 1.0)), (SubVP(0.1, 3.0), VP()), (VE(), SubVP())]
STANDARD_ERRORS = 4.5


def random_coordinates(generator, *batch):
    size = NODES * FEATURES + NODES * (NODES - 1) // 2
    return torch.randn(*batch, size, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("mix", MIXES, ids=str)
def test_scores_are_gradients_of_the_log_density(mix, generator):
    graphs, x = random_graphs(*mix), random_coordinates(generator, 3)
    for t in (torch.tensor(0.3), torch.tensor([1e-3, 0.4, 1.0])):
        density = torch.distributions.MultivariateNormal(*graphs.marginal(t))
        x.requires_grad_()
        (expected,) = torch.autograd.grad(density.log_prob(x).sum(), x)
        found = graphs(graph(x.detach()), t)
        torch.testing.assert_close(coordinates(found), expected, atol=1e-10, rtol=1e-10)
        assert torch.equal(found.adjacency, found.adjacency.mT)


def test_scores_of_float32_graphs_are_float32(generator):
    graphs, x = random_graphs(VP(), VE()), random_coordinates(generator, 4)
    single = graph(x.float())
    found = graphs(single, torch.tensor(0.5))
    assert found.nodes.dtype == found.adjacency.dtype == torch.float32
    exact = coordinates(graphs(graph(x), torch.tensor(0.5)))
    assert (coordinates(found) - exact).abs().max() < 1e-6 * exact.abs().max()


def test_marginal_is_that_of_the_perturbed_graphs():
    graphs, t = random_graphs(VP(), VE(0.2, 1.0)), torch.tensor(0.6, dtype=torch.float64)
    mean, covariance = graphs.marginal(t)
    scaled = coordinates(graphs.system.scaled(graph(graphs.mean), t))
    torch.testing.assert_close(mean, scaled)
    spread = coordinates(graphs.system.spread(graph(torch.ones_like(mean)), t))
    clean = coordinates(graphs.system.scaled(graph(torch.ones_like(mean)), t))
    expected = graphs.covariance * clean.outer(clean) + torch.diag(spread**2)
    torch.testing.assert_close(covariance, expected)


def test_samples_have_the_moments_of_the_marginal(generator):
    graphs, t, count = random_graphs(VP(), VE()), torch.tensor(0.7), 4000
    mean, covariance = graphs.marginal(t)
    found = coordinates(graphs.sample(count, t, generator=generator))
    std = covariance.diagonal().sqrt()
    assert ((found.mean(0) - mean).abs() < STANDARD_ERRORS * std / count**0.5).all()
    spread = (std.outer(std) ** 2 + covariance**2).sqrt() / count**0.5
    assert ((found.T.cov() - covariance).abs() < STANDARD_ERRORS * spread).all()


def test_denoiser_of_the_scores_is_the_posterior_mean(generator):
    graphs, x = random_graphs(VP(), VP()), random_coordinates(generator, 2)
    sigma = torch.tensor(0.4, dtype=torch.float64)
    found = coordinates(ScoreDenoiser(graphs)(graph(x), sigma))
    noisy = graphs.covariance + sigma**2 * torch.eye(len(graphs.mean), dtype=torch.float64)
    gain = torch.linalg.solve(noisy, graphs.covariance).mT
    torch.testing.assert_close(found, graphs.mean + (x - graphs.mean) @ gain.mT)


def test_scores_don_t_depend_on_the_batch(generator):
    graphs, x = random_graphs(VP(), VE()), random_coordinates(generator, 5)
    t = torch.linspace(0.1, 1, 5)
    whole = coordinates(graphs(graph(x), t))
    for k in range(5):
        alone = coordinates(graphs(graph(x[k]), t[k]))
        torch.testing.assert_close(alone, whole[k], atol=1e-12, rtol=1e-12)


def test_refuses_what_is_no_gaussian():
    system, mean = GraphSystem(VP(), VP()), torch.zeros(3)
    with pytest.raises(ValueError, match="expected shapes"):
        GaussianGraphs(mean, torch.eye(2), 2, 1, system)
    for broken in (-torch.eye(3), torch.eye(3) + torch.ones(3, 3).triu(1)):
        with pytest.raises(ValueError, match="positive definite"):
            GaussianGraphs(mean, broken, 2, 1, system)


def test_scaling_by_times_of_a_batch_is_for_each_graph(generator):
    state = graph(random_coordinates(generator, 2))
    factors = torch.tensor([2.0, 3.0])
    scaled = scaled_by(state, factors, 2 * factors)
    torch.testing.assert_close(scaled.nodes[1], 3 * state.nodes[1])
    torch.testing.assert_close(scaled.adjacency[1], 6 * state.adjacency[1])
