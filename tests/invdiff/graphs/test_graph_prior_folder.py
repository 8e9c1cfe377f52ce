"""A prior comes back from its folder; damaged ones are refused in one line."""

import json
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from invdiff.graphs import prior_folder
from invdiff.graphs.log_odds import LogOddsDenoiser
from invdiff.graphs.moments import GraphMoments, graph_moments
from invdiff.graphs.networks import AdjacencyNetwork, NodeNetwork
from invdiff.graphs.prior_folder import list_graph_priors, load_graph_prior, save_graph_prior
from invdiff.graphs.schedules import VE, VP, SubVP
from invdiff.graphs.scores import DenoiserScores, NetworkScores
from invdiff.graphs.state import GraphState, from_pairs, masked, normal_noise, size_mask
from invdiff.graphs.system import GraphSystem
from invdiff.rng import derive_generator, problem_streams
from invdiff.training import drawn_network

NUM_FEATURES = 3
SETTINGS, WEIGHTS = "prior.json", "weights.safetensors"


def network_scores(system):
    return NetworkScores(
        NodeNetwork(NUM_FEATURES, 1, 8),
        AdjacencyNetwork(NUM_FEATURES, 2, 8, 4, 2, 3, 4, 2, 3),
        system,
        NUM_FEATURES,
    )


def denoiser():
    return LogOddsDenoiser(NUM_FEATURES, 0.2, node_depth=1, adjacency_depth=2, width=8)


def drawn(build):
    return drawn_network(build, generator=derive_generator(0)).eval()


PRIORS = {
    "vp": drawn(lambda: network_scores(GraphSystem(VP(0.2, 0.8), VE(0.2, 1.0)))),
    "subvp": drawn(lambda: network_scores(GraphSystem(SubVP(), VP()))),
    "denoiser": DenoiserScores(drawn(denoiser), VE(0.1, 10.0)),
}


def graphs(sizes=(4, 6, 4)):
    mask = size_mask(torch.tensor(sizes), max(sizes))
    empty = torch.zeros(*mask.shape, max(sizes))
    state = GraphState(torch.zeros(*mask.shape, NUM_FEATURES), empty, mask)
    return normal_noise(state, problem_streams(derive_generator(1), len(sizes), ()))


MOMENTS = graph_moments(graphs())


@pytest.mark.parametrize("kind", PRIORS)
def test_a_prior_comes_back(tmp_path, kind):
    folder, prior = tmp_path / "some" / "prior", PRIORS[kind]
    save_graph_prior(folder, prior, MOMENTS, {"title": "Tiny", "steps": 3})
    state = torch.get_rng_state()
    found = load_graph_prior(folder)
    assert torch.equal(torch.get_rng_state(), state)
    assert found.info == {"title": "Tiny", "steps": 3}
    assert found.moments == MOMENTS
    assert found.scores.system == prior.system
    assert found.scores.num_features == NUM_FEATURES
    t = torch.tensor([0.1, 0.5, 0.9])
    with torch.no_grad():
        expected = prior(graphs(), t)
    scores = found.scores(graphs(), t)
    assert not scores.nodes.requires_grad
    assert torch.equal(scores.nodes, expected.nodes)
    assert torch.equal(scores.adjacency, expected.adjacency)


def test_saving_leaves_the_weights_as_they_are(tmp_path):
    prior = PRIORS["vp"]
    before = {name: value.clone() for name, value in prior.state_dict().items()}
    save_graph_prior(tmp_path, prior, MOMENTS)
    assert all(torch.equal(value, before[name]) for name, value in prior.state_dict().items())
    assert load_graph_prior(str(tmp_path)).info == {}


def test_moments_are_those_of_all_nodes_and_pairs():
    state = graphs()
    nodes = torch.cat([state.nodes[k, :n] for k, n in enumerate((4, 6, 4))]).double()
    pairs = torch.cat(
        [
            state.adjacency[k, :n, :n][tuple(torch.triu_indices(n, n, 1))]
            for k, n in enumerate((4, 6, 4))
        ]
    ).double()
    assert MOMENTS.sizes == {4: 2, 6: 1}
    assert MOMENTS.node_mean == pytest.approx(nodes.mean(0).tolist())
    assert MOMENTS.node_variance == pytest.approx(nodes.var(0, correction=0).tolist())
    assert MOMENTS.edge_mean == pytest.approx(float(pairs.mean()))
    assert MOMENTS.edge_variance == pytest.approx(float(pairs.var(correction=0)))


def test_the_edge_mean_of_binary_graphs_is_their_density():
    adjacency = from_pairs(torch.tensor([[1.0, 0, 0, 1, 0, 0], [1.0, 1, 0, 1, 0, 0]]), 4)
    state = masked(GraphState(torch.ones(2, 4, 1), adjacency, size_mask(torch.tensor([4, 3]), 4)))
    assert graph_moments(state).edge_mean == pytest.approx(5 / 9)
    alone = GraphState(torch.ones(1, 1, 1), torch.zeros(1, 1, 1), torch.ones(1, 1).bool())
    assert graph_moments(alone).edge_mean == 0


def test_sizes_are_drawn_as_the_graphs_have_them():
    drawn_sizes = MOMENTS.draw_sizes(6000, generator=derive_generator(2))
    assert set(drawn_sizes.tolist()) == {4, 6}
    share = float((drawn_sizes == 6).double().mean())
    assert abs(share - 1 / 3) < 4.5 * (2 / 9 / 6000) ** 0.5


@pytest.mark.parametrize(
    "choice",
    [
        {"sizes": {}},
        {"sizes": {0: 2}},
        {"sizes": {3: 0}},
        {"edge_variance": -1.0},
        {"edge_variance": float("nan")},
        {"edge_variance": float("inf")},
        {"edge_mean": float("nan")},
        {"node_mean": (float("inf"),)},
        {"node_variance": (-1.0,)},
        {"node_variance": (1.0, 1.0)},
    ],
)
def test_moments_refuse_what_no_graphs_have(choice):
    plain = {
        "sizes": {3: 1}, "node_mean": (0.5,), "node_variance": (1.0,), "edge_mean": 0.5,
        "edge_variance": 1.0,
    }  # fmt: skip
    with pytest.raises(ValueError, match="GraphMoments: expected"):
        GraphMoments(**plain | choice)


def test_shipped_priors_go_by_their_names(tmp_path, monkeypatch):
    assert prior_folder._shipped() == Path(str(files("invdiff.graphs"))) / "weights"
    monkeypatch.setattr(prior_folder, "_shipped", lambda: tmp_path)
    assert list_graph_priors() == []
    save_graph_prior(tmp_path / "tiny", PRIORS["vp"], MOMENTS, {"title": "Tiny"})
    assert list_graph_priors() == ["tiny"]
    assert load_graph_prior("tiny").info == {"title": "Tiny"}
    with pytest.raises(ValueError, match="expected one of tiny or a folder, got none"):
        load_graph_prior("none")


@pytest.fixture(params=["vp", "denoiser"])
def folder(tmp_path, request):
    save_graph_prior(tmp_path / "prior", PRIORS[request.param], MOMENTS)
    return tmp_path / "prior"


def refusal(folder):
    with pytest.raises(ValueError, match=str(folder)) as caught:
        load_graph_prior(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def changed_weights(folder, change):
    weights = load_file(folder / WEIGHTS)
    name = sorted(weights)[0]
    change(weights, name)
    save_file(weights, folder / WEIGHTS)
    return name


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w, n: w[n].view(-1)[0:1].fill_(float("nan")), "is not finite"),
        (lambda w, n: w.update({n: torch.zeros(5, 5, 5)}), r"shape"),
        (lambda w, n: w.update({n: w[n].double()}), "float64"),
        (lambda w, n: w.pop(n), "missing or unknown"),
        (lambda w, n: w.update({"other": torch.zeros(1)}), "missing or unknown"),
    ],
)
def test_refuses_other_weights(folder, change, told):
    changed_weights(folder, change)
    assert told in refusal(folder)


def test_refuses_missing_and_damaged_files(folder):
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[:-8])
    assert "not a readable safetensors file" in refusal(folder)
    (folder / WEIGHTS).unlink()
    assert "not a readable safetensors file" in refusal(folder)
    (folder / SETTINGS).write_text("{")
    assert "not a readable JSON file" in refusal(folder)
    (folder / SETTINGS).unlink()
    assert "not a readable JSON file" in refusal(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s.pop("system"), "no 'system'"),
        (lambda s: s["system"]["nodes"].update(kind="Cosine"), "a schedule VP, SubVP, VE"),
        (lambda s: s["system"]["nodes"].update(beta_min=-1.0), ""),
        (lambda s: s["system"].update(nodes=3), ""),
        (lambda s: s["prior"].update(kind="Other"), "NetworkScores or LogOddsDenoiser"),
        (lambda s: s.pop("prior"), "no 'prior'"),
        (lambda s: s["moments"].update(sizes={}), "counts of numbers of nodes"),
        (lambda s: s["moments"].update(sizes=[3]), ""),
        (lambda s: s["moments"].update(node_mean=[0.1], node_variance=[1.0]), "3 features, got 1"),
        (lambda s: s.update(info=[]), 'an object "info"'),
    ],
)
def test_refuses_other_settings(folder, change, told):
    settings = json.loads((folder / SETTINGS).read_text())
    change(settings)
    (folder / SETTINGS).write_text(json.dumps(settings))
    assert told in refusal(folder)


NETWORKS = [
    ("vp", "adjacency", {"num_heads": 0}, "sizes of at least 1"),
    ("vp", "adjacency", {"width": -8}, "sizes of at least 1"),
    ("vp", "adjacency", {"depth": 0}, "sizes of at least 1"),
    ("vp", "adjacency", {"num_linear": 60}, "num_linear: expected at most"),
    ("vp", "adjacency", {"num_powers": 10**12}, "num_powers: expected at most"),
    ("vp", "adjacency", {"num_features": 4}, "the same features, got 3 and 4"),
    ("vp", "nodes", {"depth": 10**9}, "depth: expected at most"),
    ("vp", "nodes", {"width": 8.0}, "width: expected an integer, got 8.0"),
    ("vp", "nodes", {"width": True}, "width: expected an integer, got True"),
    ("denoiser", "settings", {"width": 10**6}, "width: expected at most"),
    ("denoiser", "settings", {"width": 10**400}, "width: expected an integer"),
    ("denoiser", "settings", {"density": "0.5"}, ""),
]


@pytest.mark.parametrize(("kind", "part", "change", "told"), NETWORKS)
def test_refuses_networks_that_no_weights_are_of(tmp_path, kind, part, change, told):
    save_graph_prior(tmp_path, PRIORS[kind], MOMENTS)
    settings = json.loads((tmp_path / SETTINGS).read_text())
    settings["prior"][part].update(change)
    (tmp_path / SETTINGS).write_text(json.dumps(settings))
    assert told in refusal(tmp_path)


NUMBERS = [
    ("moments", {"node_mean": [0.1, 0.2, float("nan")]}, "node_mean: expected a finite number"),
    ("moments", {"node_variance": "111"}, "node_variance: expected a list"),
    ("moments", {"edge_mean": float("inf")}, "edge_mean: expected a finite number"),
    ("moments", {"edge_variance": True}, "edge_variance: expected a finite number"),
    ("moments", {"edge_mean": 10**400}, "too large"),
    ("moments", {"sizes": {"3": float("inf")}}, "sizes: expected an integer"),
    ("moments", {"sizes": {"3": 1.5}}, "sizes: expected an integer"),
    ("moments", {"sizes": {"9" * 30: 1}}, "sizes: expected an integer"),
    ("system", {"nodes": {"kind": "VP", "beta_max": 10**400}}, "too large"),
    ("system", {"nodes": {"kind": "VP", "beta_max": "1"}}, "beta_max: expected a finite number"),
    ("system", {"nodes": {"kind": ["VP"]}}, ""),
]


@pytest.mark.parametrize(("part", "change", "told"), NUMBERS)
def test_refuses_numbers_that_are_none(folder, part, change, told):
    settings = json.loads((folder / SETTINGS).read_text())
    settings[part].update(change)
    (folder / SETTINGS).write_text(json.dumps(settings))
    assert told in refusal(folder)


def test_refuses_brackets_without_end(folder):
    (folder / SETTINGS).write_text("[" * 100_000)
    assert "not a readable JSON file" in refusal(folder)


def test_moments_of_no_graphs_are_refused():
    nothing = GraphState(*(part[:0] for part in graphs()))
    for state, size, told in ((nothing, 5, "0 graphs"), (graphs(), 0, "and 0"), (graphs(), -1, "")):
        with pytest.raises(ValueError, match=f"graph_moments: expected graphs.*{told}"):
            graph_moments(state, batch_size=size)


def test_a_denoiser_has_one_schedule(tmp_path):
    save_graph_prior(tmp_path, PRIORS["denoiser"], MOMENTS)
    settings = json.loads((tmp_path / SETTINGS).read_text())
    settings["system"]["nodes"]["sigma_max"] = 2.0
    (tmp_path / SETTINGS).write_text(json.dumps(settings))
    assert "one schedule" in refusal(tmp_path)


def test_refuses_to_save_other_networks(tmp_path):
    other = torch.nn.Linear(1, 1)
    with pytest.raises(ValueError, match=r"expected a NodeNetwork.*got Linear"):
        save_graph_prior(tmp_path, NetworkScores(other, other, GraphSystem(VP(), VP()), 1), MOMENTS)
    with pytest.raises(ValueError, match="LogOddsDenoiser, got Linear"):
        save_graph_prior(tmp_path, DenoiserScores(other, VP()), MOMENTS)
    assert not list(tmp_path.iterdir())
