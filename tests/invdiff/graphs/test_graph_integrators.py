"""Laws of every integrator."""

import math
from itertools import pairwise

import pytest
import torch
from gaussian_runs import FEATURES, random_graphs
from test_graph_interfaces import noisy_state, scores_of_networks

from invdiff.graphs.corrector import Langevin, PredictorCorrector
from invdiff.graphs.exponential import Exponential
from invdiff.graphs.flow_ode import GraphHeun
from invdiff.graphs.integrator import posterior_mean
from invdiff.graphs.reverse_sde import EulerMaruyama, ReverseDiffusion
from invdiff.graphs.schedules import VE, VP
from invdiff.graphs.splitting import Splitting
from invdiff.graphs.state import GraphState, masked, normal_noise
from invdiff.graphs.system import GraphSystem
from invdiff.rng import Streams, problem_streams

COLD = Langevin(snr=0.1)
INTEGRATORS = [
    EulerMaruyama(6),
    ReverseDiffusion(6),
    PredictorCorrector(EulerMaruyama(6), COLD),
    PredictorCorrector(ReverseDiffusion(6, denoise=False), COLD, num_corrections=2),
    Splitting(6),
    Splitting(6, corrector=None, exact_backward=False, denoise=False),
    GraphHeun(6),
    GraphHeun(6, denoise=False, spacing="time"),
    Exponential(6),
    Exponential(1),
    Exponential(6, noise=1.0),
    Exponential(6, noise=1.0, spacing="log_snr", denoise=False),
]
END = 0.01

every_integrator = pytest.mark.parametrize("integrator", INTEGRATORS, ids=str)


def streams_of(seed: int, count: int) -> Streams:
    return problem_streams(torch.Generator().manual_seed(seed), count, ())


def some(state: GraphState, rows: slice) -> GraphState:
    return GraphState(*(side[rows] for side in state))


def ragged_scores(state: GraphState, t: torch.Tensor) -> GraphState:
    """Scores that couple X and A, and read the number of nodes, for graphs of any size."""
    degree = state.adjacency.sum(-1, keepdim=True) / state.mask.sum(-1)[..., None, None]
    nodes = -state.nodes - 0.3 * degree
    adjacency = -state.adjacency - 0.1 * (state.nodes @ state.nodes.mT).tanh()
    return masked(GraphState(nodes, adjacency, state.mask))


class RaggedScores:
    system, num_features = GraphSystem(VP(), VE(0.2, 1.0)), FEATURES

    def __call__(self, state: GraphState, t: torch.Tensor) -> GraphState:
        return ragged_scores(state, t)


def double(state: GraphState) -> GraphState:
    return GraphState(state.nodes.double(), state.adjacency.double(), state.mask)


@every_integrator
def test_a_graph_depends_on_its_own_stream_only(integrator, generator):
    start = double(noisy_state(generator, [3, 5, 1, 4], FEATURES))
    whole = integrator.run(RaggedScores(), start, streams_of(7, 4))
    again = integrator.run(RaggedScores(), start, streams_of(7, 4))
    part = some(start, slice(1, 3))
    own = Streams(streams_of(7, 4).generators[1:3], (2,))
    alone = integrator.run(RaggedScores(), part, own)
    for side in (0, 1):
        assert torch.equal(whole[side], again[side])
        torch.testing.assert_close(alone[side], whole[side][1:3], atol=1e-12, rtol=1e-12)


@every_integrator
def test_another_seed_changes_what_is_random(integrator, generator):
    start = double(noisy_state(generator, [3, 5], FEATURES))
    one, other = (integrator.run(RaggedScores(), start, streams_of(k, 2)) for k in (1, 2))
    random = not isinstance(integrator, GraphHeun) and getattr(integrator, "noise", 1.0) > 0
    for side in (0, 1):
        assert torch.equal(one[side], other[side]) != random


@every_integrator
def test_graphs_of_networks_are_symmetric_and_masked(integrator, generator):
    scores, start = scores_of_networks(4), noisy_state(generator, [2, 6], 4)
    with torch.no_grad():
        found = integrator.run(scores, start, streams_of(0, 2))
    assert found.nodes.dtype == found.adjacency.dtype == torch.float32
    assert bool(found.nodes.isfinite().all())
    assert bool(found.adjacency.isfinite().all())
    clean = masked(found)
    assert torch.equal(clean.nodes, found.nodes)
    assert torch.equal(clean.adjacency, found.adjacency)
    assert torch.equal(found.adjacency, found.adjacency.mT)


@every_integrator
def test_what_stands_at_absent_nodes_is_not_read(integrator, generator):
    start = double(noisy_state(generator, [2, 4], FEATURES))
    filled = GraphState(start.nodes + 1, start.adjacency + 1, start.mask)
    found, expected = (
        integrator.run(RaggedScores(), state, streams_of(0, 2))
        for state in (filled, masked(filled))
    )
    assert torch.equal(found.nodes, expected.nodes)
    assert torch.equal(found.adjacency, expected.adjacency)


@every_integrator
def test_the_host_never_waits_for_the_device(integrator, generator):
    # on this device, which has no values, all that reads one raises
    start = GraphState(*(side.to("meta") for side in noisy_state(generator, [3, 5], FEATURES)))
    found = integrator.run(RaggedScores(), start, streams_of(0, 2))
    assert found.nodes.device.type == found.adjacency.device.type == "meta"


@every_integrator
def test_callback_sees_every_step_and_the_result_is_the_last(integrator, generator):
    start, seen = double(noisy_state(generator, [3], FEATURES)), []
    found = integrator.run(RaggedScores(), start, streams_of(0, 1), seen.append)
    assert [p.step for p in seen] == list(range(seen[0].num_steps))
    assert all(bool(a.t > b.t) for a, b in pairwise(seen))
    if not (isinstance(integrator, GraphHeun) and integrator.denoise):
        assert torch.equal(seen[-1].state.nodes, found.nodes)


def calls_of(integrator) -> int:
    count = 0

    class Counted(RaggedScores):
        def __call__(self, state, t):
            nonlocal count
            count += 1
            return ragged_scores(state, t)

    start = double(noisy_state(torch.Generator().manual_seed(0), [3], FEATURES))
    integrator.run(Counted(), start, streams_of(0, 1))
    return count


def test_calls_of_the_scores_are_as_documented():
    for single in (EulerMaruyama(5), Splitting(5), Exponential(5), Exponential(5, denoise=False)):
        assert calls_of(single) == 5
    assert calls_of(PredictorCorrector(EulerMaruyama(5), COLD, num_corrections=2)) == 15
    assert calls_of(GraphHeun(5)) == 11


def test_the_result_is_the_posterior_mean_at_the_end():
    graphs, streams = random_graphs(VP(), VE(0.2, 1.0)), streams_of(3, 2)
    start = graphs.sample(2, torch.ones(()), generator=torch.Generator().manual_seed(4))
    for short, full in (
        (GraphHeun(9, END, denoise=False), GraphHeun(9, END)),
        (Exponential(9, END, denoise=False), Exponential(10, END)),
    ):
        state = short.run(graphs, start, streams)
        expected = posterior_mean(graphs, state, torch.tensor(END, dtype=torch.float64))
        torch.testing.assert_close(full.run(graphs, start, streams), expected)


def test_langevin_step_is_the_published_one(generator):
    state, score = (double(noisy_state(generator, [5, 3], FEATURES)) for _ in range(2))
    alpha = torch.tensor(0.9, dtype=torch.float64)
    noise = normal_noise(state, streams_of(0, 2))
    for whole in (False, True):
        found = Langevin(0.2, 0.7, whole).corrected(state, score, (alpha, alpha), streams_of(0, 2))
        norms = [side.flatten(1).norm(dim=1) for side in (noise.adjacency, score.adjacency)]
        if whole:
            norms = [norm.mean() for norm in norms]
        step = (2 * 0.9 * (0.2 * norms[0] / norms[1]) ** 2).expand(2)[:, None, None]
        moved = state.adjacency + step * score.adjacency
        expected = moved + 0.7 * (2 * step).sqrt() * noise.adjacency
        torch.testing.assert_close(found.adjacency, expected)


def test_norms_of_the_batch_break_its_invariance(generator):
    start = double(noisy_state(generator, [3, 5], FEATURES))
    published = PredictorCorrector(EulerMaruyama(3), Langevin(0.2, batch_norms=True))
    whole = published.run(RaggedScores(), start, streams_of(0, 2))
    own = Streams(streams_of(0, 2).generators[:1], (1,))
    alone = published.run(RaggedScores(), some(start, slice(1)), own)
    assert (alone.nodes - whole.nodes[:1]).abs().max() > 1e-3


def test_updates_of_nodes_and_adjacency_are_simultaneous(generator):
    start = double(noisy_state(generator, [4], FEATURES))
    seen = []

    class Watched(RaggedScores):
        def __call__(self, state, t):
            seen.append((state, t))
            return ragged_scores(state, t)

    PredictorCorrector(EulerMaruyama(1), COLD).run(Watched(), start, streams_of(0, 1))
    (first, t), (second, later) = seen
    assert t == later == 1
    assert torch.equal(first.nodes, start.nodes)
    assert not torch.equal(first.nodes, second.nodes)
    assert not torch.equal(first.adjacency, second.adjacency)


@pytest.mark.parametrize(
    "kind", [EulerMaruyama, ReverseDiffusion, Splitting, GraphHeun, Exponential]
)
def test_integrators_refuse_bad_settings(kind):
    with pytest.raises(ValueError, match=f"{kind.__name__}: expected num_steps > 0, got 0"):
        kind(0)
    for end in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="end"):
            kind(5, end)
    if kind in (GraphHeun, Exponential):
        with pytest.raises(ValueError, match="spacing"):
            kind(5, spacing="quadratic")
        with pytest.raises(ValueError, match="rho"):
            kind(5, rho=0.0)


def test_corrections_refuse_bad_settings():
    with pytest.raises(ValueError, match="snr"):
        Langevin(0.0)
    with pytest.raises(ValueError, match="noise_scale"):
        Langevin(noise_scale=-1.0)
    with pytest.raises(ValueError, match="num_corrections"):
        PredictorCorrector(EulerMaruyama(), Langevin(), 0)
    with pytest.raises(ValueError, match="noise"):
        Exponential(noise=-0.1)
