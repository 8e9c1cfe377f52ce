"""The study of partly known graphs, at a size that takes seconds, and the laws of its parts."""

import json
import math

import networkx as nx
import numpy as np
import pytest
import torch

from invdiff.graphs.completion import graph_likelihood
from invdiff.graphs.coordinates import GraphCoordinates
from invdiff.graphs.datasets import load_graphs, split_graphs
from invdiff.graphs.edge_mixture import EdgeMixture, block_mixture
from invdiff.graphs.encoding import encode_graphs
from invdiff.graphs.log_odds import LogOddsDenoiser
from invdiff.graphs.moments import graph_moments
from invdiff.graphs.prior_folder import save_graph_prior
from invdiff.graphs.schedules import VE
from invdiff.graphs.scores import DenoiserScores
from invdiff.graphs.state import from_pairs, to_pairs
from invdiff.rng import derive_generator
from invdiff.samplers import RedDiff, Samples
from invdiff.study.laboratory.graph_completion import GraphCompletionStudy
from invdiff.study.laboratory.graph_completion_cases import (
    AskedGraph,
    Task,
    check_graphs,
    chosen_graphs,
    draw_case,
)
from invdiff.study.laboratory.graph_completion_exact import compare, exact_problem
from invdiff.study.laboratory.graph_completion_exact_scores import exact_scores
from invdiff.study.laboratory.graph_completion_reference import community_links, independent_links
from invdiff.study.laboratory.graph_completion_runs import CompletionRuns
from invdiff.study.laboratory.graph_completion_scores import (
    calibration_error,
    link_table,
    reliability,
)
from invdiff.study.load import load_study, parse_study
from invdiff.study.run_scripted import run_study
from invdiff.training.first_weights import drawn_network
from operators import GaussianNoise
from operators.noise import BinarySymmetricNoise

RED_DIFF = {"kind": "red-diff", "num_steps": 4, "sigma_min": 0.1}
ENSEMBLE = {"kind": "afdps", "num_steps": 20, "sigma_min": 0.1}
DPS = {"kind": "dps", "num_steps": 4, "sigma_min": 0.1}
SCORES = ("auc", "log_loss", "brier", "error")


@pytest.fixture(scope="module")
def choices(tmp_path_factory):
    """Two samplers with a prior that no one trained."""
    folder = tmp_path_factory.mktemp("prior") / "untrained"
    training = split_graphs(load_graphs("community_small")).training
    moments = graph_moments(encode_graphs(training, 20, 10))
    denoiser = drawn_network(
        lambda: LogOddsDenoiser(10, moments.edge_mean, adjacency_depth=2, width=8),
        generator=derive_generator(0),
    )
    save_graph_prior(folder, DenoiserScores(denoiser, VE(0.1, 10.0)), moments)
    exact, methods = (
        [
            {"title": "RED-diff", "num_samples": count, "sampler": RED_DIFF},
            {"title": title, "num_samples": count, "sampler": sampler},
        ]
        for title, count, sampler in (("The Ensemble", 100, ENSEMBLE), ("DPS", 3, DPS))
    )
    return {
        "kind": "graph-completion",
        "title": "Tiny",
        # the new graph is small
        "seed": 1,
        "exact": {"repeats": 3, "methods": exact},
        "prior": str(folder),
        "tasks": {"num_test": 3, "num_new": 1, "hidden": [0.3], "wrong": [0.1]},
        "methods": methods,
    }


@pytest.fixture(scope="module")
def finished(choices, run_once):
    return run_once(choices)


@pytest.fixture(scope="module")
def metrics(finished):
    return json.loads((finished / "metrics.json").read_text())


def test_writes_numbers_figures_and_a_report(finished, metrics, choices):
    for value in metrics.values():
        assert np.isfinite(np.asarray(value, dtype=float)).all()
    for name in parse_study(choices).captions():
        assert (finished / f"{name}.png").is_file()
    page = (finished / "report.html").read_text()
    assert "three exact posteriors" in page
    assert "10 % of the pairs wrong" in page
    assert metrics["evidence_error_mixture_the_ensemble"] > 0
    for method in ("red_diff", "dps", "independent", "communities"):
        for score in SCORES:
            name = f"{score}_hidden_30_{method}"
            expected = np.array(metrics[f"{name}_graphs"])[np.array(metrics["groups"]) > 0].mean()
            assert metrics[name] == pytest.approx(expected)


def test_goes_on_where_it_was_interrupted(choices, metrics, tmp_path, monkeypatch):
    study, out = parse_study(choices), tmp_path / "out"
    sampled, calls = CompletionRuns.sampled, []

    def broken(self, *args, **kwargs):
        calls.append(self.task.key)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return sampled(self, *args, **kwargs)

    monkeypatch.setattr(CompletionRuns, "sampled", broken)
    with pytest.raises(KeyboardInterrupt):
        run_study(study, out)
    # an uninterrupted run has drawn them
    monkeypatch.setattr(GraphCompletionStudy, "figures", lambda *_: {})
    found = run_study(study, out, resume=True)
    assert calls == ["hidden_30", "hidden_30", "wrong_10", "wrong_10", "wrong_10"]
    assert found.keys() == metrics.keys()
    for name, value in metrics.items():
        assert "seconds" in name or found[name] == value


@pytest.mark.parametrize("name", ["gaussian", "edges", "mixture"])
def test_draws_of_the_exact_posterior_are_within_error(name):
    problem = exact_problem(name, 4, 0.5, 0.3, 0)

    class Exact:
        def sample(self, likelihood, denoiser, num_samples, *, generator):
            posterior = problem.prior.posterior(problem.likelihood)
            values = [posterior.sample(num_samples, generator=g) for g in generator]
            weights = torch.full((num_samples, len(values)), -math.log(num_samples))
            return Samples(torch.stack(values, 1), weights)

    scores = exact_scores("it", compare(problem, Exact(), 500, 16, seed=0))
    assert scores["z_it"] < 4.5
    assert scores["z_products_it"] < 4.5
    assert scores["std_ratio_it"] == pytest.approx(1, abs=0.03)
    assert "evidence_it" not in scores
    mode = exact_scores("it", compare(problem, RedDiff(num_steps=50), 200, 8, seed=0))
    assert mode["z_products_it"] > 4.5


@pytest.mark.parametrize("noise", [GaussianNoise(0.3), BinarySymmetricNoise(0.1)], ids=repr)
def test_references_are_the_posteriors_of_mixtures(noise, generator):
    told = from_pairs(torch.bernoulli(torch.full((15,), 0.4), generator=generator), 6)
    told[0, 3] = told[3, 0] = told[1, 2] = told[2, 1] = torch.nan
    likelihood = graph_likelihood(GraphCoordinates(6), told, noise)
    alone = EdgeMixture(torch.ones(1).double(), torch.full((1, 15), 0.3).double())
    expected = alone.posterior(likelihood).mean()
    torch.testing.assert_close(independent_links(told, noise, 0.3), expected)
    # the ways in which six nodes fall into two communities of three
    ways = torch.cartesian_prod(*[torch.arange(2)] * 6)
    blocks = ways[(ways.sum(1) == 3) & (ways[:, 0] == 0)]
    mixture = block_mixture(6, blocks, 0.7, 4 * 0.05 / 6)
    expected = mixture.posterior(likelihood).mean()
    torch.testing.assert_close(community_links(told, noise), expected)


def test_communities_of_odd_graphs_are_refused():
    with pytest.raises(ValueError, match="got 5"):
        community_links(torch.zeros(5, 5), GaussianNoise(0.1))


def test_nothing_of_what_is_hidden_is_told(generator):
    graphs = chosen_graphs("community_small", 6, 2, 9, 0)
    assert [graph.group for graph in graphs[-2:]] == [2, 2]
    training = split_graphs(load_graphs("community_small")).training
    for graph in graphs:
        other = nx.from_numpy_array(graph.adjacency.numpy().astype(int))
        repeated = any(nx.is_isomorphic(other, known) for known in training)
        assert repeated == (graph.group == 0)
        case = draw_case(graph, Task("hidden", 0.4), 10, False, generator=generator)
        assert torch.equal(to_pairs(case.told).isnan(), case.asked)
        assert case.nodes.isnan().all()
        degrees = draw_case(graph, Task("hidden", 0.4), 10, True, generator=generator).nodes
        assert torch.equal(degrees.argmax(-1).float(), graph.adjacency.sum(-1))


def test_as_many_pairs_are_wrong_as_was_asked(generator):
    graphs = chosen_graphs("community_small", 20, 0, 9, 0)
    cases = [draw_case(g, Task("wrong", 0.2), 10, True, generator=generator) for g in graphs]
    wrong = torch.cat([to_pairs(c.told) != to_pairs(c.adjacency) for c in cases]).double()
    assert float(wrong.mean()) == pytest.approx(0.2, abs=4 * 0.4 / len(wrong) ** 0.5)
    assert all(case.nodes.isnan().all() for case in cases)


def test_scores_by_hand():
    graph = chosen_graphs("community_small", 1, 0, 9, 0)[0]
    case = draw_case(graph, Task("hidden", 0.3), 10, False, generator=derive_generator(0))
    edges = to_pairs(case.adjacency).double().numpy()
    # certain of the truth where nothing is asked, and 3/4 sure where it is
    links = np.where(case.asked.numpy(), 0.25 + 0.5 * edges, 1 - edges)
    table = link_table(links, [case])
    expected = {"auc": 1.0, "log_loss": -math.log(0.75), "brier": 1 / 16, "error": 0.0}
    assert {name: values[0] for name, values in table.items()} == pytest.approx(expected)
    curve = reliability(links, [case], 10)
    assert curve["count"].sum() == int(case.asked.sum())
    assert calibration_error(curve) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        ("tasks={hidden: [], wrong: []}", "tasks: expected a share"),
        ("tasks.wrong=[0.6]", "tasks.wrong"),
        ("methods=[]", "methods"),
        ("methods=[{title: Adamic-Adar, sampler: {kind: dps}}]", "one titled adamic_adar"),
        ("tasks.hidden=[0.3, 0.3]", "each share once"),
        (
            "methods=[{title: A b, sampler: {kind: dps}}, {title: a-B, sampler: {kind: dps}}]",
            "different titles",
        ),
        ("unknown=1", "unknown"),
    ],
)
def test_refusals(choice, complaint):
    with pytest.raises(ValueError, match=complaint):
        load_study("graph_completion", [choice])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prior": "nowhere"}, "or a folder, got nowhere"),
        ({"tasks": {"graphs": "nowhere"}}, "source: expected one of community_small"),
        ({"tasks": {"num_test": 21}}, "tasks.num_test: expected at most 20 graphs, got 21"),
        ({"tasks": {"num_test": 1, "num_new": 0}}, "every graph is isomorphic"),
        ({"tasks": {"graphs": "ego_small"}}, "tasks.communities: expected 2, 4, ..., 20 nodes"),
        (
            {"tasks": {"graphs": "ego_small", "communities": False, "degrees_known": True}},
            "of which the prior knows no more than 9",
        ),
    ],
)
def test_refuses_before_any_work(choices, refusal, change, message):
    assert message in refusal(choices | change)


def test_graphs_that_cannot_be_asked_for_are_refused():
    with pytest.raises(ValueError, match=r"num_new: too few graphs .* degrees up to 1"):
        chosen_graphs("community_small", 1, 1, 1, 0)
    full = AskedGraph(1, 1 - torch.eye(4))
    with pytest.raises(ValueError, match="graph 0 has all edges or none"):
        check_graphs([full], None, communities=False)
