"""Losses of graph priors against data whose scores and posteriors are known."""

import math

import pytest
import torch
from scipy.integrate import quad
from torch import nn

from invdiff.graphs.batches import GraphBatches, batch_noise
from invdiff.graphs.log_odds import LogOddsDenoiser
from invdiff.graphs.losses import (
    CrossEntropyLoss,
    ScoreMatchingLoss,
    cross_entropies,
    score_matching_losses,
)
from invdiff.graphs.networks import AdjacencyNetwork, NodeNetwork
from invdiff.graphs.schedules import VE, VP
from invdiff.graphs.scores import NetworkScores
from invdiff.graphs.state import GraphState, from_pairs, masked, size_mask
from invdiff.graphs.system import GraphSystem, scaled_by
from invdiff.rng import derive_generator
from invdiff.training import Training, drawn_network, train

SYSTEM = GraphSystem(VP(), VE(0.2, 1.0))
NODE_VARIANCE, EDGE_VARIANCE = 0.5, 2.0
NUM_FEATURES, RHO = 3, 0.3


def empty(sizes, num_features=NUM_FEATURES):
    mask = size_mask(torch.tensor(sizes), max(sizes))
    nodes = torch.zeros(*mask.shape, num_features).double()
    return GraphState(nodes, torch.zeros(*mask.shape, max(sizes)).double(), mask)


def gaussian_graphs(sizes):
    noise = batch_noise(empty(sizes), generator=derive_generator(0, "data"))
    std = torch.tensor([NODE_VARIANCE, EDGE_VARIANCE]).double().sqrt()
    return scaled_by(noise, *std)


def binary_graphs(sizes, generator, num_features=NUM_FEATURES):
    like = empty(sizes, num_features)
    count, num_nodes = like.mask.shape
    classes = torch.randint(num_features, (count, num_nodes), generator=generator)
    edges = torch.rand(count, num_nodes * (num_nodes - 1) // 2, generator=generator) < RHO
    nodes = nn.functional.one_hot(classes, num_features).double()
    return masked(GraphState(nodes, from_pairs(edges.double(), num_nodes), like.mask))


def counts(mask):
    """Return the entries of X and of A for each graph, shape ``(batch, 2)``."""
    sizes = mask.sum(-1)
    return torch.stack([NUM_FEATURES * sizes, sizes * (sizes - 1)], -1)


class ExactScores(nn.Module):
    """Of independent normal entries; times a factor."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.system, self.num_features, self.factor = SYSTEM, NUM_FEATURES, factor

    def forward(self, state, t):
        nodes, edges = (
            -self.factor / (side.scale(t) ** 2 * variance + side.std(t) ** 2)
            for side, variance in (
                (SYSTEM.nodes, NODE_VARIANCE), (SYSTEM.adjacency, EDGE_VARIANCE),
            )
        )  # fmt: skip
        return scaled_by(state, nodes, edges)


def known_minimum(t, weights):
    """Return half the weighted share of the data in the variance of x_t, times the entries."""
    total = 0.0
    for side, variance, count in weights:
        signal = side.scale(t) ** 2 * variance
        total = total + count * signal / (signal + side.std(t) ** 2) / 2
    return total


@pytest.mark.parametrize("t", [1e-3, 0.3, 1.0])
@pytest.mark.parametrize("likelihood_weighting", [False, True])
def test_the_exact_score_has_the_known_minimum(t, likelihood_weighting):
    clean = gaussian_graphs([3, 5, 5, 4] * 200)
    times = torch.full((len(clean.mask),), t, dtype=torch.float64)
    noise = batch_noise(clean, generator=derive_generator(1))
    found = score_matching_losses(
        ExactScores(), clean, times, noise, likelihood_weighting=likelihood_weighting
    )
    entries = counts(clean.mask).double().mean(0)
    sides = ((SYSTEM.nodes, NODE_VARIANCE), (SYSTEM.adjacency, EDGE_VARIANCE))
    for value, count, (side, variance), twice in zip(found, entries, sides, (1, 2), strict=True):
        expected = known_minimum(times[0], [(side, variance, count)])
        if likelihood_weighting:
            expected = expected * (side.diffusion(times[0]) / side.std(times[0])) ** 2
        # a pair's two entries are one draw
        error = 4.5 * math.sqrt(2 / float(len(times) * count / twice))
        torch.testing.assert_close(value, expected, rtol=error, atol=0)


def test_the_mean_over_times_is_the_known_minimum_and_any_other_score_has_more():
    clean = gaussian_graphs([4] * 4000)
    loss = ScoreMatchingLoss(GraphBatches(clean, 100, generator=derive_generator(2)))

    def values(factor):
        return torch.stack([loss(ExactScores(factor), step) for step in range(40)])

    exact = values(1.0)
    t = (torch.arange(20000, dtype=torch.float64) + 0.5) / 20000
    sides = [(SYSTEM.nodes, NODE_VARIANCE, 12), (SYSTEM.adjacency, EDGE_VARIANCE, 12)]
    expected = known_minimum(t, sides).mean()
    assert abs(exact.mean() - expected) < 4.5 * exact.std() / math.sqrt(40)
    # a score that is off by a factor 1 + d costs d^2 times the rest of the variance
    rest = 12 - expected
    for excess in (-0.3, 0.2):
        more = values(1 + excess) - exact
        assert abs(more.mean() - excess**2 * rest) < 4.5 * more.std() / math.sqrt(40)
        assert more.mean() > 4.5 * more.std() / math.sqrt(40)


def test_permuted_nodes_have_the_same_loss():
    clean = gaussian_graphs([4, 6, 5])
    noise = batch_noise(clean, generator=derive_generator(3))
    networks = drawn_network(
        lambda: NetworkScores(NodeNetwork(3), AdjacencyNetwork(3), SYSTEM, 3),
        generator=derive_generator(4),
    ).double()
    denoiser = drawn_network(lambda: LogOddsDenoiser(3, 0.4), generator=derive_generator(5))
    order = torch.randperm(6, generator=derive_generator(6))
    t = torch.tensor([0.1, 0.5, 0.9]).double()

    def permuted(state):
        nodes, adjacency, mask = state
        return GraphState(nodes[:, order], adjacency[:, order][:, :, order], mask[:, order])

    torch.testing.assert_close(
        score_matching_losses(networks, permuted(clean), t, permuted(noise)),
        score_matching_losses(networks, clean, t, noise),
    )
    clean = binary_graphs([4, 6, 5], derive_generator(7))
    torch.testing.assert_close(
        cross_entropies(denoiser.double(), permuted(clean), t, permuted(noise)),
        cross_entropies(denoiser, clean, t, noise),
    )


@pytest.mark.parametrize("fill", [5.0, math.inf])
def test_cross_entropies_see_no_padding(fill):
    clean, t = binary_graphs([3, 5], derive_generator(8)), torch.tensor([0.5, 2.0]).double()
    noise = batch_noise(clean, generator=derive_generator(9))
    denoiser = drawn_network(
        lambda: LogOddsDenoiser(3, 0.4).double(), generator=derive_generator(5)
    )

    class Filled:
        def log_odds(self, state, sigma):
            odds = denoiser.log_odds(state, sigma)
            present = state.mask.unsqueeze(-1) & state.mask.unsqueeze(-2)
            return GraphState(
                odds.nodes.where(state.mask.unsqueeze(-1), fill),
                odds.adjacency.where(present, fill),
                state.mask,
            )

    found = cross_entropies(Filled(), clean, t, noise)
    torch.testing.assert_close(found, cross_entropies(denoiser, clean, t, noise))


def entropy(sigma, rho):
    """Return the entropy of 1 with probability rho, else 0, given it with noise: by quadrature."""

    def density(x):
        ends = [
            math.exp(-((x - a) ** 2) / (2 * sigma**2)) / math.sqrt(2 * math.pi) / sigma
            for a in (0, 1)
        ]
        joint = ((1 - rho) * ends[0], rho * ends[1])
        return -sum(p * math.log(p / sum(joint)) for p in joint if p > 0)

    return quad(density, -8 * sigma, 1 + 8 * sigma, points=[0, 1], limit=200)[0]


class Silent(nn.Module):
    """Returns no correction."""

    def forward(self, state):
        return torch.zeros_like(state.nodes[..., :1])


@pytest.mark.parametrize("sigma", [0.3, 0.7, 2.0])
def test_the_exact_denoiser_of_independent_edges_has_their_entropy(sigma):
    clean = binary_graphs([8] * 1500, derive_generator(10), 2)
    denoiser = LogOddsDenoiser(2, RHO)
    denoiser.node_network = denoiser.adjacency_network = Silent()
    noise = batch_noise(clean, generator=derive_generator(11))
    levels = torch.full((1500,), sigma).double()
    values = torch.stack([
        torch.stack(cross_entropies(denoiser, *(pick(v, k) for v in (clean, levels, noise))))
        for k in range(30)
    ])  # fmt: skip
    error = 4.5 * values.std(0) / math.sqrt(30)
    assert abs(values[:, 1].mean() - 28 * entropy(sigma, RHO)) < error[1]
    # two classes are sqrt(2) apart
    assert abs(values[:, 0].mean() - 8 * entropy(sigma / math.sqrt(2), 0.5)) < error[0]


def pick(value, k, size=50):
    part = slice(k * size, (k + 1) * size)
    return GraphState(*(v[part] for v in value)) if isinstance(value, tuple) else value[part]


class Constants(nn.Module):
    """Logits that know nothing of the noisy graph."""

    def __init__(self):
        super().__init__()
        self.nodes = nn.Parameter(torch.zeros(NUM_FEATURES, dtype=torch.float64))
        self.edge = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def log_odds(self, state, sigma):
        return GraphState(
            self.nodes.expand(state.nodes.shape),
            self.edge.expand(state.adjacency.shape),
            state.mask,
        )


def test_trained_constants_reach_the_entropy_of_the_shares():
    clean = binary_graphs([6, 4, 5] * 20, derive_generator(12))
    loss = CrossEntropyLoss(GraphBatches(clean, 60, generator=derive_generator(13)))
    constants = Constants()
    training = Training(
        300, 0.1, 0, weight_decay=0.0, gradient_clip=1e9, ema_decay=0.0, dtype=torch.float32
    )
    train(constants, loss, training)
    share = clean.nodes.sum((0, 1)) / clean.mask.sum()
    num_pairs = counts(clean.mask)[:, 1].sum() / 2
    density = clean.adjacency.sum() / 2 / num_pairs
    torch.testing.assert_close(constants.edge.sigmoid(), density, atol=1e-4, rtol=0)
    torch.testing.assert_close(constants.nodes.softmax(-1), share, atol=1e-4, rtol=0)
    entropies = (
        -clean.mask.sum() * (share * share.log()).sum()
        - num_pairs * (density * density.log() + (1 - density) * (1 - density).log())
    ) / 60
    torch.testing.assert_close(loss(constants, 0).detach(), entropies, rtol=1e-6, atol=0)


def test_focused_noise_levels_are_normal_in_their_logarithm():
    batches = GraphBatches(
        binary_graphs([4] * 5, derive_generator(14)), 4, generator=derive_generator(0)
    )
    loss = CrossEntropyLoss(batches, sigma_min=0.1, sigma_max=10.0, focus=0.75, focus_sigma=0.6)
    levels = loss.levels(4000, batches.generator(0))
    outer, inner = (levels[:1000] / 0.1).log(), (levels[1000:] / 0.6).log() / 0.5
    strata = outer / math.log(100) * 1000
    assert ((strata - torch.arange(1000)).abs() < 1.001).all()
    ranks = torch.special.ndtr(inner) * 3000
    # the least quantiles are cut off at sigma_min
    kept = levels[1000:] > 0.1
    assert kept.double().mean() > 0.999
    assert ((ranks - torch.arange(3000))[kept].abs() < 1.001).all()


def test_noise_levels_are_stratified_in_their_logarithm():
    clean = binary_graphs([4] * 5, derive_generator(14))
    batches = GraphBatches(clean, 5, generator=derive_generator(15))
    loss = CrossEntropyLoss(batches, sigma_min=0.1, sigma_max=10.0)
    for step in range(50):
        levels = loss.levels(8, batches.generator(step))
        strata = ((levels / 0.1).log() / math.log(100) * 8).floor()
        assert strata.tolist() == list(range(8))


def test_an_epoch_sees_every_graph_once_in_an_order_of_its_own():
    clean = gaussian_graphs([4] * 7)
    batches = GraphBatches(clean, 3, generator=derive_generator(16))
    assert batches.steps_per_epoch == 3
    epochs = [[batches.batch(3 * e + k).nodes[:, 0, 0] for k in range(3)] for e in range(4)]
    assert all([len(b) for b in epoch] == [3, 3, 1] for epoch in epochs)
    orders = [torch.cat(epoch) for epoch in epochs]
    for order in orders:
        assert torch.equal(order.sort().values, clean.nodes[:, 0, 0].sort().values)
    assert len({tuple(order.tolist()) for order in orders}) == 4


def test_a_step_draws_the_same_whatever_was_drawn_before():
    clean = gaussian_graphs([4] * 7)
    first, other = (
        ScoreMatchingLoss(GraphBatches(clean, 3, generator=derive_generator(17))) for _ in range(2)
    )
    values = [first(ExactScores(), step) for step in range(5)]
    assert torch.equal(other(ExactScores(), 4), values[4])
    assert len({float(v) for v in values}) == 5


def test_noise_is_standard_symmetric_and_masked():
    like = empty([5, 7, 3] * 400)
    noise = batch_noise(like, generator=derive_generator(18))
    assert torch.equal(noise.adjacency, noise.adjacency.mT)
    for found, clean in zip(noise, masked(noise), strict=True):
        assert torch.equal(found, clean)
    entries = counts(like.mask).sum(0)
    for value, count, twice in zip(noise[:2], entries, (1, 2), strict=True):
        error = 4.5 * math.sqrt(2 * twice / float(count))
        assert float(value.square().sum() / count) == pytest.approx(1, abs=error)


def test_refuses_what_it_cannot_train_on():
    clean = binary_graphs([4] * 3, derive_generator(0))
    with pytest.raises(ValueError, match=r"batch_size.*got 0"):
        GraphBatches(clean, 0, generator=derive_generator(0))
    with pytest.raises(ValueError, match=r"graphs.*got \(4,\)"):
        GraphBatches(GraphState(*(v[0] for v in clean)), 2, generator=derive_generator(0))
    batches = GraphBatches(clean, 2, generator=derive_generator(0))
    with pytest.raises(ValueError, match=r"first_time.*got 1"):
        ScoreMatchingLoss(batches, first_time=1.0)
    for levels in ({"sigma_min": 0.0}, {"sigma_max": 0.01}, {"sigma_max": math.inf}):
        with pytest.raises(ValueError, match=r"0 < sigma_min.*got"):
            CrossEntropyLoss(batches, **levels)


@pytest.mark.parametrize("part", [0, 1])
def test_cross_entropy_refuses_graphs_of_other_numbers(part):
    clean = list(binary_graphs([4] * 3, derive_generator(0)))
    clean[part] = clean[part] * 0.5
    batches = GraphBatches(GraphState(*clean), 2, generator=derive_generator(0))
    with pytest.raises(ValueError, match="zeros and ones"):
        CrossEntropyLoss(batches)
    if part == 0:
        zeros = GraphState(torch.zeros_like(clean[0]), *clean[1:])
        with pytest.raises(ValueError, match="one class"):
            CrossEntropyLoss(GraphBatches(zeros, 2, generator=derive_generator(0)))
