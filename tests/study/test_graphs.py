"""The study that generates graphs, with a tiny prior of community graphs."""

import dataclasses
import json
from functools import partial

import networkx as nx
import numpy as np
import pytest
import torch
import yaml
from matplotlib.figure import Figure

from invdiff.graphs.datasets import load_graphs, split_graphs
from invdiff.graphs.evaluation import evaluate_runs
from invdiff.graphs.prior_folder import load_graph_prior
from invdiff.rng import derive_generator
from invdiff.study.cli import main
from invdiff.study.laboratory import graphs_figures as figures
from invdiff.study.laboratory import graphs_training_run
from invdiff.study.laboratory.graph_pictures import by_community, draw_graph, graph_positions
from invdiff.study.laboratory.graphs_report import summary_text
from invdiff.study.laboratory.graphs_runs import GraphRuns, stored_graphs
from invdiff.study.laboratory.graphs_scores import PROTOCOLS, STATISTICS, pictured, score_arrays
from invdiff.study.laboratory.graphs_training import PublishedTraining
from invdiff.study.laboratory.graphs_training_run import StepRecord, trained_weights
from invdiff.study.load import load_study, parse_study
from invdiff.training import TrainingStep

TRAINING = {
    "kind": "log-odds",
    "num_steps": 12,
    "batch_size": 8,
    "node_depth": 1,
    "adjacency_depth": 1,
    "width": 8,
    "checkpoint_every": 4,
}
CHOICES = {
    "kind": "graphs",
    "title": "Tiny",
    "graphs": "community_small",
    "training": TRAINING,
    "integrators": [
        {"kind": "exponential", "num_steps": 3, "noise": 1.0, "end": 0.05},
        {"kind": "heun", "num_steps": 2, "spacing": "rho", "label": "flow"},
        {"kind": "reverse", "num_steps": 10, "langevin": {"snr": 0.1}},
    ],
    "num_graphs": 24,
    "num_runs": 2,
    "batch_size": 10,
}
FIGURES = ("graphs", "trajectory", "discrepancies", "calls", "loss")


@pytest.fixture(scope="module")
def finished(run_once):
    return run_once(CHOICES)


@pytest.fixture(scope="module")
def metrics(finished):
    return metrics_of(finished)


@pytest.fixture(scope="module")
def arrays(finished):
    with np.load(finished / "arrays.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def split():
    return split_graphs(load_graphs("community_small"))


@pytest.fixture(scope="module")
def runs(finished):
    prior = load_graph_prior(finished / "prior")
    return GraphRuns(prior.scores, prior.moments, True, 5, 3, 0, "cpu")


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def integrator(**values):
    return parse_study(CHOICES | {"integrators": [values]}).integrators[0]


def test_writes_numbers_figures_and_a_report(finished, metrics):
    assert all(np.isfinite(value) for value in metrics.values())
    assert all((finished / f"{name}.png").is_file() for name in FIGURES)
    page = (finished / "report.html").read_text()
    for words in (
        "2 runs of 24 graphs each, 3 calls of the scores",
        "per cent are isomorphic to no training graph",
        "A copy of the training set would score the floor",
        "reverse diffusion with Langevin, 10 steps",
        "Heun&#39;s method, 2 steps (flow)",
    ):
        assert words in page
    assert "_" not in summary_text(metrics, parse_study(CHOICES).integrators[0], 24)


def test_the_floors_are_those_of_the_published_split(metrics):
    first = {"degree": 0.0055, "cluster": 0.0170, "orbit": 0.0010, "spectral": 0.072}
    both = {"degree": 0.0034, "cluster": 0.0092, "orbit": 0.0010, "spectral": 0.034}
    for prefix, values in (("floor", first), ("floor_all", both)):
        for statistic, value in values.items():
            # an independent computation, to its digits
            assert metrics[f"{prefix}_{statistic}"] == pytest.approx(value, rel=0.05)
    assert metrics["test_novelty"] == 0.5


def test_a_copy_of_the_training_graphs_scores_the_floor(split):
    scores = score_arrays([split.training, split.training], split, tuple(PROTOCOLS))
    for protocol in PROTOCOLS.values():
        for statistic in STATISTICS:
            floor = scores[f"{protocol.floor}_{statistic}"]
            np.testing.assert_allclose(scores[f"{protocol.mmd}_{statistic}"], [floor, floor])
    assert scores["novelty"].tolist() == [0, 0]


def test_numbers_are_means_and_spreads_of_the_runs(metrics, arrays):
    for key in ("mmd_orbit", "all_mmd_average", "tv_mmd_degree", "novelty"):
        assert metrics[key] == pytest.approx(arrays[key].mean())
        assert metrics[f"{key}_std"] == pytest.approx(np.abs(np.diff(arrays[key]))[0] / 2**0.5)


def test_calls_are_counted_for_a_graph_not_for_all_chunks(metrics):
    assert metrics["num_calls"] == 3
    # two a step and the posterior mean at the end
    assert metrics["num_calls_flow"] == 5
    assert metrics["num_calls_reverse_langevin_10"] == 20
    assert metrics["seconds_per_graph"] == pytest.approx(metrics["seconds"] / 24)


def test_the_kept_prior_is_the_one_that_was_judged(finished, metrics, tmp_path):
    saved = load_graph_prior(finished / "prior")
    assert saved.info["training"]["num_steps"] == 12
    assert saved.info["metrics"] == metrics
    assert sum(saved.moments.sizes.values()) == 80
    choices = CHOICES | {"prior": str(finished / "prior"), "training": None}
    out = run_with(choices | {"integrators": CHOICES["integrators"][:1]}, tmp_path)
    again = metrics_of(out)
    assert "training_seconds" not in again
    assert not (out / "prior").exists()
    assert not (out / "calls.png").exists()
    for name, value in again.items():
        # its weights are rounded to half precision, which may flip an edge
        assert name.startswith("seconds") or value == pytest.approx(metrics[name], abs=0.02)


def run_with(choices, folder, *words):
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(choices))
    assert main(["run", str(path), "--out", str(folder / "out"), *words]) == 0
    return folder / "out"


def test_goes_on_with_an_interrupted_training_and_with_interrupted_runs(
    finished, metrics, tmp_path, monkeypatch
):
    class Killed(StepRecord):
        def __call__(self, step):
            if step.step == 6:
                raise KeyboardInterrupt
            super().__call__(step)

    def killed(self, integrator, run, title):
        raise KeyboardInterrupt

    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(CHOICES))
    words = ["run", str(path), "--out", str(tmp_path / "out"), "--resume"]
    for owner, name, value in (
        (graphs_training_run, "StepRecord", Killed),
        (GraphRuns, "graphs", killed),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            assert main(words) == 130
        stages = tmp_path / "out.partial" / "stages"
        assert (stages / "training.safetensors").is_file()
    assert (stages / "training.npz").is_file()
    assert main(words) == 0
    for name, value in metrics_of(tmp_path / "out").items():
        assert "seconds" in name or value == metrics[name]
    with np.load(tmp_path / "out" / "arrays.npz") as stored:
        assert len(stored["loss"]) == len(stored["step_seconds"]) == 12
        assert (stored["step_seconds"] > 0).all()


def test_steps_of_a_checkpoint_took_what_they_took(tmp_path):
    def steps(record, first, last):
        for i in range(first, last):
            record(TrainingStep(i, 10, torch.tensor(float(i))))

    first = StepRecord(tmp_path / "seconds.npy", 4)
    steps(first, 0, 7)
    second = StepRecord(tmp_path / "seconds.npy", 4)
    assert second.seconds == first.seconds[:4]
    steps(second, 0, 10)
    assert second.seconds[:4] == first.seconds[:4]
    arrays = second.arrays()
    assert len(arrays["step_seconds"]) == 10
    assert arrays["loss"].tolist() == list(range(10))
    assert np.load(tmp_path / "seconds.npy").tolist() == second.seconds


def test_published_settings_are_trained_for_other_epochs(split, tmp_path):
    training = PublishedTraining(name="community_small", num_epochs=1)
    graphs = training.encoded(split.training)
    assert graphs.nodes.shape == (80, 20, 10)
    fit = partial(training.fit, graphs, derive_generator(0, "training"))
    trained = trained_weights(fit, training.checkpoint_every, tmp_path)
    assert len(trained["loss"]) == 1
    # of the authors' own networks
    assert sum(v.size for k, v in trained.items() if k.startswith("weights/")) == 72434 + 134369


@pytest.mark.parametrize("ema", [True, False])
def test_weights_are_those_that_the_authors_sample_with(split, tmp_path, ema, monkeypatch):
    training = PublishedTraining(name="enzymes" if ema else "ego_small", num_epochs=1)
    seen = []

    def trained(graphs, recipe, **others):
        from invdiff.graphs.fit import TrainedScores

        seen.append(recipe)
        return TrainedScores("last", "average")

    monkeypatch.setattr("invdiff.study.laboratory.graphs_training.train_scores", trained)
    found = training.fit(None, None, None, None)
    assert found == ("average" if ema else "last")
    assert (seen[0].num_epochs, seen[0].ema_sampling) == (1, ema)


def test_runs_begin_with_the_same_noise_and_end_with_the_graph(runs):
    ways = [
        runs.trajectory(integrator(**values).build())
        for values in ({"kind": "euler", "num_steps": 12}, {"kind": "heun", "num_steps": 3})
    ]
    np.testing.assert_array_equal(ways[0]["trajectory"][0], ways[1]["trajectory"][0])
    assert ways[0]["trajectory_times"][[0, -1]].tolist() == pytest.approx([1, 1e-4])
    assert (np.diff(ways[0]["trajectory_times"]) < 0).all()
    assert len(ways[0]["trajectory"]) == 8
    assert len(ways[1]["trajectory"]) == 4
    generated = runs.graphs(integrator(kind="euler", num_steps=12).build(), 0, "title")
    size = generated["sizes"][0]
    np.testing.assert_array_equal(
        ways[0]["trajectory"][-1] >= 0.5, generated["adjacency"][0, :size, :size]
    )


def test_runs_differ_and_do_not_depend_on_chunks(runs):
    way = integrator(kind="euler", num_steps=12).build()
    first, second = (runs.graphs(way, run, "title") for run in (0, 1))
    assert (first["sizes"] != second["sizes"]).any()
    whole = GraphRuns(runs.scores, runs.moments, True, 7, None, 0, "cpu").graphs(way, 0, "title")
    assert first["adjacency"].any()
    assert (whole["adjacency"][:5] == first["adjacency"]).mean() > 0.999
    assert whole["calls"] == first["calls"] == 12
    assert set(whole["sizes"].tolist()) <= set(runs.moments.sizes)
    moments = dataclasses.replace(runs.moments, sizes={12: 1})
    same = dataclasses.replace(runs, moments=moments)
    # of the same sizes, they still have other noise
    first, second = (same.graphs(way, run, "title")["adjacency"] for run in (0, 1))
    assert (first != second).any()


def test_the_matched_start_has_other_noise(runs):
    way = integrator(kind="heun", num_steps=1).build()
    plain = GraphRuns(runs.scores, runs.moments, False, 5, 3, 0, "cpu").trajectory(way)
    assert not np.allclose(plain["trajectory"][0], runs.trajectory(way)["trajectory"][0])


def test_stored_graphs_have_no_isolated_nodes_and_no_padding():
    adjacency = np.zeros((2, 4, 4), np.uint8)
    adjacency[0, [0, 1], [1, 0]] = 1
    found = stored_graphs({"adjacency": adjacency, "sizes": np.array([3, 2])})
    assert [len(graph) for graph in found] == [2, 1]


def test_scores_are_those_of_the_evaluation(split):
    generated = [nx.path_graph(n) for n in (3, 4, 5)] + [nx.complete_graph(4)]
    scores = score_arrays([generated, split.training[:9]], split, ("first", "all"))
    expected = evaluate_runs(
        [generated, split.training[:9]], split.test, split.training, first_only=False
    )
    assert scores["all_mmd_degree"].tolist() == [run.mmd.degree for run in expected.runs]
    assert scores["novelty"].tolist() == [1.0, 0.0]
    assert not any(key.startswith("tv") for key in scores)


def test_copies_of_training_graphs_are_marked(split):
    graphs = [nx.complete_graph(5), nx.relabel_nodes(split.training[0], lambda node: -node)]
    found = pictured(graphs, split, 16)
    assert found["generated_known"].tolist() == [False, True]
    assert found["generated_sizes"].tolist() == [5, len(split.training[0])]
    assert found["test_known"].shape == (16,)
    assert found["test_adjacency"].shape[0] == 16


def test_places_keep_the_distances_of_a_path_and_of_parts():
    places = graph_positions(nx.path_graph(6))
    lengths = [np.linalg.norm(places[i + 1] - places[i]) for i in range(5)]
    assert max(lengths) < 1.2 * min(lengths)
    both = nx.disjoint_union(nx.complete_graph(3), nx.complete_graph(3))
    places = graph_positions(both)
    near = np.linalg.norm(places[0] - places[1])
    assert np.linalg.norm(places[0] - places[3]) > 1.5 * near
    assert list(graph_positions(nx.empty_graph(1))) == [0]


def test_large_grids_are_not_folded():
    # this one is, from the circle that the layout begins with otherwise
    grid = load_graphs("grid")[12]
    places = graph_positions(grid)
    edges = [np.linalg.norm(places[u] - places[v]) for u, v in grid.edges]
    assert max(edges) < 1.2 * min(edges)


def test_communities_are_put_next_to_each_other():
    graph = nx.disjoint_union(nx.complete_graph(3), nx.complete_graph(4))
    graph = nx.relabel_nodes(graph, {i: (3 * i) % 7 for i in range(7)})
    order = by_community(graph)
    assert set(order[:4]) == {(3 * i) % 7 for i in range(3, 7)}
    assert sorted(order) == list(range(7))


def test_a_drawing_has_every_node_and_edge():
    axis = Figure().subplots()
    draw_graph(axis, nx.path_graph(5), framed=True)
    lines, nodes = axis.collections
    assert len(lines.get_segments()) == 4
    assert len(nodes.get_offsets()) == 5
    assert all(spine.get_visible() for spine in axis.spines.values())


@pytest.mark.parametrize(
    ("values", "name", "title"),
    [
        ({"kind": "exponential", "num_steps": 9}, "exponential_9", "exponential integrator, 9"),
        (
            {"kind": "exponential", "noise": 0.5, "num_steps": 9},
            "exponential_9",
            "exponential integrator, noise 0.5, 9",
        ),
        (
            {"kind": "splitting", "num_steps": 9, "langevin": None},
            "splitting_9",
            "symmetric splitting, 9",
        ),
        (
            {"kind": "euler", "num_steps": 9, "langevin": {}},
            "euler_langevin_9",
            "Euler-Maruyama with Langevin, 9",
        ),
    ],
)
def test_integrators_have_names(values, name, title):
    found = integrator(**values)
    assert (found.name, found.title) == (name, f"{title} steps")
    assert found.line == integrator(**values | {"num_steps": 4, "label": "other"}).line


def test_integrators_are_built_as_configured():
    splitting = integrator(kind="splitting", num_steps=7, langevin={"snr": 0.2}).build()
    assert (splitting.num_steps, splitting.corrector.snr) == (7, 0.2)
    assert integrator(kind="splitting", langevin=None).build().corrector is None
    corrected = integrator(kind="euler", num_steps=7, langevin={"noise_scale": 0.3}).build()
    assert (corrected.predictor.num_steps, corrected.corrector.noise_scale) == (7, 0.3)
    assert integrator(kind="exponential", noise=0.5).build().noise == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": None}, "expected either a prior or a training"),
        ({"prior": "community-small"}, "expected either a prior or a training"),
        ({"integrators": []}, "integrators"),
        ({"integrators": [{"kind": "rk4"}]}, "integrators.kind: expected one of"),
        ({"integrators": [{"kind": "heun"}] * 2}, "one label for each, got heun_50, heun_50"),
        ({"integrators": [{"kind": "heun", "label": "x_std"}]}, "must not end in std"),
        ({"integrators": [{"kind": "heun", "label": "A b"}]}, "label"),
        ({"integrators": [{"kind": "heun", "num_steps": 0}]}, "num_steps > 0"),
        ({"integrators": [{"kind": "heun", "langevin": {}}]}, "langevin"),
        ({"num_runs": 1}, "num_runs"),
        ({"training": TRAINING | {"sigma_min": 20.0}}, "0 < sigma_min < sigma_max"),
        ({"training": TRAINING | {"beta_max": 0.01}}, "beta_min <= beta_max"),
        ({"training": {"kind": "published", "name": "qm9"}}, "name"),
    ],
)
def test_refuses_choices_that_do_not_fit(refusal, change, message):
    assert message in refusal(CHOICES | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"graphs": "nowhere"}, "source: expected one of community_small"),
        ({"training": None, "prior": "nowhere"}, "or a folder, got nowhere"),
        (
            {"graphs": "enzymes", "training": {"kind": "published", "name": "ego_small"}},
            "nodes",
        ),
    ],
)
def test_refuses_before_any_work(refusal, change, message):
    assert message in refusal(CHOICES | change)


def test_a_training_of_one_step_can_be_drawn():
    (axis,) = figures.loss({"loss": np.array([3.0])}).axes
    low, high = axis.get_ylim()
    assert low < 3 < high


def test_training_settings_of_the_shipped_study_are_those_of_the_recipe():
    study = load_study("graphs_community_small_training", ["training.num_steps=30"])
    recipe = study.training._recipe()
    assert (recipe.training.num_steps, recipe.training.num_warmup) == (30, 3)
    assert recipe.training.dtype == torch.float32


def test_what_is_wrong_with_several_integrators_is_said_once(tmp_path, capsys):
    path = tmp_path / "graphs.yaml"
    wrong = [{"kind": "exponentail", "label": name} for name in ("a", "b")]
    path.write_text(yaml.safe_dump({"kind": "graphs", "graphs": "ego_small", "prior": "ego-small",
                                    "integrators": wrong}))  # fmt: skip
    assert main(["run", str(path), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("got 'exponentail'") == 1
