"""The mixture of edges against sums over all 64 graphs of four nodes."""

import math

import pytest
import torch

from invdiff.graphs.edge_mixture import EdgeMixture, block_mixture
from invdiff.likelihood import Likelihood
from operators import CorrelatedGaussianNoise, GaussianNoise, Identity, Mask
from operators.noise import BinarySymmetricNoise

NUM_PAIRS = 6


def mixture(num_kinds):
    generator = torch.Generator().manual_seed(num_kinds)
    weights = torch.rand(num_kinds, generator=generator, dtype=torch.float64) + 0.2
    p = torch.rand(num_kinds, NUM_PAIRS, generator=generator, dtype=torch.float64)
    return EdgeMixture(weights, 0.05 + 0.9 * p)


def all_graphs():
    values = torch.tensor([0.0, 1.0], dtype=torch.float64)
    return torch.cartesian_prod(*[values] * NUM_PAIRS)


def masses(prior):
    """Probabilities of all graphs from the definition, one factor for each edge."""
    graphs, total = all_graphs(), 0
    for w, p in zip(prior.weights, prior.probabilities, strict=True):
        total = total + w * torch.where(graphs > 0.5, p, 1 - p).prod(-1)
    return total


def noises():
    return [GaussianNoise(0.6), BinarySymmetricNoise(0.2)]


def likelihood_of(prior, noise, generator):
    operator = Mask(torch.tensor([True, False, True, True, False, True]))
    clean = operator(prior.sample(1, generator=generator)[0])
    return Likelihood(operator, noise, noise.sample(clean, generator=generator))


@pytest.fixture(params=[1, 3])
def prior(request):
    return mixture(request.param)


def test_masses_and_moments_are_those_of_the_sum(prior):
    graphs, mass = all_graphs(), masses(prior)
    torch.testing.assert_close(mass.sum().item(), 1.0)
    torch.testing.assert_close(prior.log_mass(graphs).exp(), mass)
    torch.testing.assert_close(prior.mean(), mass @ graphs)
    offset = graphs - mass @ graphs
    torch.testing.assert_close(prior.covariance(), offset.T @ (mass[:, None] * offset))


@pytest.mark.parametrize("sigma", [0.2, 0.7, 5.0])
def test_denoiser_and_density_are_those_of_the_sum(prior, sigma, generator):
    graphs = all_graphs()
    x = 0.5 + torch.randn(4, 3, NUM_PAIRS, generator=generator, dtype=torch.float64)
    deviation = (x.unsqueeze(-2) - graphs) / sigma
    scale = math.log(sigma) + math.log(2 * math.pi) / 2
    joint = masses(prior).log() - (deviation**2 / 2 + scale).sum(-1)
    # beyond the digits of a float32 level
    torch.testing.assert_close(prior.log_prob(x, sigma), joint.logsumexp(-1), rtol=1e-10, atol=0)
    levels = torch.full((4, 3), sigma)
    for level in (levels, levels[0, 0]):
        torch.testing.assert_close(
            prior(x, level), joint.softmax(-1) @ graphs, rtol=1e-6, atol=1e-6
        )
    torch.testing.assert_close(prior.log_prob(x, levels.double()), joint.logsumexp(-1))


def test_denoiser_and_density_obey_tweedie(prior, generator):
    x = torch.randn(5, NUM_PAIRS, generator=generator, dtype=torch.float64).requires_grad_()
    sigma = torch.tensor(0.4, dtype=torch.float64)
    (score,) = torch.autograd.grad(prior.log_prob(x, sigma).sum(), x)
    torch.testing.assert_close(prior(x, sigma), x + sigma**2 * score)


@pytest.mark.parametrize("noise", noises(), ids=lambda n: type(n).__name__)
def test_posterior_and_evidence_are_those_of_the_sum(prior, noise, generator):
    likelihood = likelihood_of(prior, noise, generator)
    joint = masses(prior).log() + likelihood.log_prob(all_graphs())
    posterior = prior.posterior(likelihood)
    torch.testing.assert_close(posterior.log_mass(all_graphs()).exp(), joint.softmax(0))
    torch.testing.assert_close(prior.log_evidence(likelihood), joint.logsumexp(0))
    assert not torch.allclose(posterior.mean(), prior.mean(), atol=0.05)


def test_samples_have_the_moments(prior, generator):
    draws = prior.sample(20_000, generator=generator)
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    mean, variance = prior.mean(), prior.covariance().diagonal()
    assert ((draws.mean(0) - mean).abs() < 4.5 * (variance / len(draws)).sqrt()).all()
    products = (draws - mean).unsqueeze(-1) * (draws - mean).unsqueeze(-2)
    error = products.std(0) / math.sqrt(len(draws))
    assert ((products.mean(0) - prior.covariance()).abs() <= 4.5 * error).all()


def test_counts_are_weights():
    probabilities = torch.tensor([[0.2, 0.4], [0.6, 0.8]], dtype=torch.float64)
    prior = EdgeMixture(torch.tensor([1, 3]), probabilities)
    torch.testing.assert_close(prior.mean(), torch.tensor([0.5, 0.7], dtype=torch.float64))


def test_certain_edges_stay_certain():
    certain = EdgeMixture(torch.ones(1).double(), torch.tensor([[0.0, 1.0, 0.5]]).double())
    x = torch.tensor([0.9, 0.1, 0.7], dtype=torch.float64, requires_grad=True)
    mean = certain(x, torch.tensor(0.5))
    assert mean[:2].tolist() == [0.0, 1.0]
    (slope,) = torch.autograd.grad(mean.sum() + certain.log_prob(x, 0.5), x)
    assert slope.isfinite().all()
    noise = GaussianNoise(0.1)
    y = torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64)
    likelihood = Likelihood(Mask(torch.ones(3, dtype=torch.bool)), noise, y)
    posterior = certain.posterior(likelihood).mean()
    assert posterior[:2].tolist() == [0.0, 1.0]


def test_blocks_set_the_probabilities():
    blocks = torch.tensor([[0, 0, 1], [0, 1, 1]])
    prior = block_mixture(3, blocks, 0.9, 0.1)
    expected = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.1, 0.9]], dtype=torch.float64)
    torch.testing.assert_close(prior.probabilities, expected)
    torch.testing.assert_close(prior.weights, torch.full((2,), 0.5, dtype=torch.float64))
    with pytest.raises(ValueError, match="one for each of 4 nodes"):
        block_mixture(4, blocks, 0.9, 0.1)


@pytest.mark.parametrize(
    ("weights", "probabilities", "message"),
    [
        (torch.ones(2), torch.full((3, 6), 0.5), r"got \(2,\) and \(3, 6\)"),
        (torch.ones(1), torch.full((6,), 0.5), r"and \(6,\)"),
        (torch.zeros(1), torch.full((1, 6), 0.5), "positive weights"),
        (torch.tensor([math.inf]), torch.full((1, 6), 0.5), "positive weights"),
        (torch.ones(1), torch.full((1, 6), 1.5), "probabilities in"),
        (torch.ones(1), torch.full((1, 6), math.nan), "probabilities in"),
    ],
)
def test_refuses_what_is_no_distribution(weights, probabilities, message):
    with pytest.raises(ValueError, match=message):
        EdgeMixture(weights, probabilities)


def test_refuses_measurements_whose_posterior_is_not_known():
    prior = mixture(1)
    noise, mask = GaussianNoise(0.5), Mask(torch.ones(6, dtype=torch.bool))
    cases = [
        (Likelihood(Identity((6,)), noise, torch.zeros(6)), "with a Mask"),
        (Likelihood(mask, noise, torch.zeros(2, 6)), "one problem"),
        (Likelihood(mask, CorrelatedGaussianNoise(torch.eye(6), -1), torch.zeros(6)), "correlated"),
        (Likelihood(Mask(torch.ones(5, dtype=torch.bool)), noise, torch.zeros(5)), r"\(5,\)"),
    ]
    for likelihood, message in cases:
        with pytest.raises(ValueError, match=message):
            prior.posterior(likelihood)
