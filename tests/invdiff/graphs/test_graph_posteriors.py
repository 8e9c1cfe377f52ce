"""Graphs in-painted by the samplers against exact posteriors."""

import math

import pytest
import torch

from invdiff.graphs.coordinates import GraphCoordinates
from invdiff.graphs.edge_mixture import EdgeMixture
from invdiff.graphs.log_odds import LogOddsDenoiser
from invdiff.graphs.observations import observe_pairs, observe_subgraph
from invdiff.graphs.state import GraphState, from_pairs
from invdiff.graphs.vector_prior import VectorDenoiser
from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior
from invdiff.rng import Streams, derive_generator
from invdiff.samplers import DPS, Ensemble, RedDiff
from operators import GaussianNoise
from operators.noise import BinarySymmetricNoise

REPEATS = 16
ERRORS = 4.5
# priors that are no isotropic Gaussian need the moves to be accepted or refused
SAMPLER = Ensemble(num_steps=40, sigma_min=0.004, metropolis=True)
COORDINATES = GraphCoordinates(4, 1)
KNOWN = from_pairs(torch.tensor([True, False, True, True, False, True]), 4)


def repeated(likelihood):
    y = likelihood.y.expand(REPEATS, *likelihood.y.shape).clone()
    return Likelihood(likelihood.operator, likelihood.noise, y)


def sampled(likelihood, prior, num_samples=500):
    streams = [derive_generator(p, "posterior") for p in range(REPEATS)]
    return SAMPLER.sample(repeated(likelihood), prior, num_samples, generator=streams)


def average(samples, values):
    """Weighted averages of ``(num_samples, repeats, ...)``, one for each repeat."""
    return torch.einsum("sr,sr...->r...", samples.log_weights.exp().double(), values.double())


def assert_unbiased(repeats, expected, systematic=0.0):
    """Within the standard errors that the repeats show."""
    error = repeats.std(0) / math.sqrt(REPEATS)
    assert ((repeats.mean(0) - expected).abs() < ERRORS * error + systematic).all()


def assert_has_moments(samples, values, posterior):
    """Mean and second moments about the exact mean, each an unbiased average."""
    assert_unbiased(average(samples, values), posterior.mean())
    offset = values - posterior.mean()
    squares = average(samples, offset.unsqueeze(-1) * offset.unsqueeze(-2))
    assert_unbiased(squares, posterior.covariance())


def mixture_problem(num_kinds, noise):
    generator = derive_generator(num_kinds, "mixture")
    weights, *p = torch.rand(7, num_kinds, generator=generator, dtype=torch.float64)
    prior = EdgeMixture(weights + 0.2, 0.05 + 0.9 * torch.stack(p, 1))
    operator = observe_pairs(GraphCoordinates(4), KNOWN)
    clean = operator(prior.sample(1, generator=generator)[0])
    return prior, Likelihood(operator, noise, noise.sample(clean, generator=generator))


@pytest.mark.parametrize("num_kinds", [1, 3])
@pytest.mark.parametrize("noise", [GaussianNoise(0.4), BinarySymmetricNoise(0.15)], ids=repr)
def test_ensemble_has_the_edges_and_the_evidence_of_a_mixture(num_kinds, noise):
    prior, likelihood = mixture_problem(num_kinds, noise)
    samples, posterior = sampled(likelihood, prior), prior.posterior(likelihood)
    assert_has_moments(samples, (samples.values > 0.5).double(), posterior)
    assert_unbiased(average(samples, samples.values), posterior.mean(), systematic=1e-3)
    evidence = (samples.info["log_evidence"] - prior.log_evidence(likelihood)).exp()
    assert_unbiased(evidence, 1.0)


def gaussian_problem(noise):
    """Features and pairs that all depend on each other, given some of the pairs."""
    generator = derive_generator(1, "gaussian")
    factor = torch.randn(10, 10, generator=generator, dtype=torch.float64)
    covariance = 0.006 * factor @ factor.T + 0.01 * torch.eye(10, dtype=torch.float64)
    prior = GaussianPrior(torch.full((10,), 0.4, dtype=torch.float64), covariance)
    operator = observe_pairs(COORDINATES, KNOWN)
    clean = operator(prior.sample(1, generator=generator)[0])
    return prior, Likelihood(operator, noise, noise.sample(clean, generator=generator))


def test_ensemble_has_the_moments_and_the_evidence_of_a_gaussian():
    noise = GaussianNoise(0.2)
    prior, likelihood = gaussian_problem(noise)
    samples = sampled(likelihood, prior)
    assert_has_moments(samples, samples.values, prior.posterior(likelihood))
    operator, y = likelihood.operator, likelihood.y
    covariance = operator(operator(prior.covariance()).T)
    covariance = covariance + noise.sigma**2 * torch.eye(len(y), dtype=y.dtype)
    exact = GaussianPrior(operator(prior.mean()), covariance).log_prob(y)
    assert_unbiased((samples.info["log_evidence"] - exact).exp(), 1.0)


class GaussianGraphs:
    """A Gaussian prior of vectors as a denoiser of graphs."""

    num_features = 1

    def __init__(self, prior):
        self.prior = prior

    def __call__(self, state, sigma):
        return COORDINATES.to_state(self.prior(COORDINATES.to_vector(state), sigma))


@pytest.mark.parametrize("sigma_y", [0.2, 0.02])
def test_red_diff_finds_the_mean_of_a_gaussian_but_not_its_spread(sigma_y):
    """Where the noise level is lambda, lambda f / sigma is the prior's own precision 1 / sigma^2.

    The fixed point of mu is then the posterior mean, up to sigma^2 over the prior's variance.
    """
    prior, likelihood = gaussian_problem(GaussianNoise(sigma_y))
    posterior = prior.posterior(likelihood)
    sampler = RedDiff(
        num_steps=1000, sigma_max=0.2, sigma_min=0.1, regularization=0.1, relaxation=1.0, clip=False
    )
    denoiser = VectorDenoiser(GaussianGraphs(prior), 4)
    samples = sampler.sample(likelihood, denoiser, 100, generator=derive_generator(0))
    spread = posterior.covariance().diagonal().sqrt()
    # 100 runs have a standard error of 0.08 of the posterior's standard deviation at most
    assert ((samples.mean() - posterior.mean()).abs() < 0.3 * spread).all()
    assert ((prior.mean() - posterior.mean()).abs() > 0.6 * spread).any()
    assert (samples.std() < 0.9 * spread).all()


def network_problem(num_problems=3):
    denoiser = LogOddsDenoiser(1, 0.4).requires_grad_(False)
    generator = derive_generator(0, "network")
    known = torch.tensor([True, False, True, True])
    operator = observe_subgraph(COORDINATES, known)
    y = torch.rand(num_problems, *operator.out_shape, generator=generator).round()
    likelihood = Likelihood(operator, BinarySymmetricNoise(0.1), y)
    return VectorDenoiser(denoiser, 4), likelihood


@pytest.mark.parametrize(
    "sampler", [RedDiff(num_steps=10), DPS(num_steps=10)], ids=lambda s: type(s).__name__
)
def test_graphs_of_a_network_do_not_depend_on_the_batch(sampler):
    prior, likelihood = network_problem()
    together, again = (
        sampler.sample(likelihood, prior, 2, generator=numbered_streams()).values for _ in range(2)
    )
    assert torch.equal(together, again)
    for p in range(3):
        alone = Likelihood(likelihood.operator, likelihood.noise, likelihood.y[p])
        found = sampler.sample(alone, prior, 2, generator=derive_generator(0, p)).values
        torch.testing.assert_close(found, together[:, p], rtol=1e-4, atol=1e-4)


def numbered_streams():
    return [derive_generator(0, p) for p in range(3)]


def permuted_vector(order):
    """Where each number of the permuted graph stood before."""
    indices = COORDINATES.to_state(torch.arange(COORDINATES.size))
    moved = GraphState(
        indices.nodes[order], indices.adjacency[order][:, order], indices.mask[order]
    )
    return COORDINATES.to_vector(moved)


def test_completion_follows_a_permutation_of_the_nodes(monkeypatch):
    """The same graph with other names of the nodes, and noise that carries the same names."""
    prior, _ = network_problem()
    where = permuted_vector(torch.tensor([2, 0, 3, 1]))
    mask = torch.arange(COORDINATES.size) % 3 > 0
    graph = (torch.arange(COORDINATES.size) % 4 == 1).float()
    sampler, noise = RedDiff(num_steps=20), BinarySymmetricNoise(0.1)

    def completed(graph, mask):
        operator = observe_vector(mask)
        likelihood = Likelihood(operator, noise, operator(graph))
        return sampler.sample(likelihood, prior, 2, generator=derive_generator(0)).values

    expected = completed(graph, mask)[:, where]
    normal = Streams.normal
    monkeypatch.setattr(Streams, "normal", lambda *args: normal(*args)[..., where])
    found = completed(graph[where], mask[where])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, expected[:, where], atol=0.01)


def observe_vector(mask):
    state = COORDINATES.to_state(mask.float())
    return observe_pairs(COORDINATES, state.adjacency > 0, state.nodes[:, 0] > 0)
