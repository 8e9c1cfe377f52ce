"""The study of molecules, with tiny networks on common small molecules."""

import json
import sys

import numpy as np
import pytest
import torch
import yaml

from invdiff.graphs.molecules import ZINC_ATOMS
from invdiff.graphs.moments import graph_moments
from invdiff.graphs.prior_folder import load_graph_prior
from invdiff.graphs.state import GraphState, from_pairs, size_mask
from invdiff.rng import derive_generator
from invdiff.study.cli import main
from invdiff.study.laboratory import molecules as study_module
from invdiff.study.laboratory.molecules_config import MoleculeRecipe
from invdiff.study.laboratory.molecules_data import (
    batched,
    round_trip,
    split_molecules,
)
from invdiff.study.laboratory.molecules_drawing import molecule_pictures
from invdiff.study.laboratory.molecules_scores import MEASURES, molecule_scores, over_runs
from invdiff.study.load import load_study, parse_study

Chem = pytest.importorskip("rdkit.Chem")

SMILES = [
    "CCO", "CC(=O)O", "CC(N)=O", "c1ccccc1", "Cc1ccccc1", "Oc1ccccc1", "Nc1ccccc1", "c1ccncc1",
    "c1ccsc1", "c1ccoc1", "c1c[nH]cn1", "NCCc1c[nH]cn1", "CN(C)C(=N)NC(=N)N", "FC(F)(F)C(Cl)Br",
    "ICI", "CS(C)=O", "OCC(O)CO", "NC(N)=O", "CC#N", "C1CCCCC1", "O=c1[nH]cc(F)c(=O)[nH]1",
    "NNC(=O)c1ccncc1", "O=[N+]([O-])c1ccccc1", "OC(=O)c1ccccc1", "CC(C)=O", "C1COCCN1", "C1CNCCN1",
    "NCC(=O)O", "CC(N)C(=O)O", "CSC", "ClC(Cl)Cl", "C=CC=C",
]  # fmt: skip
# too many atoms
LARGE = "CC(C)Cc1ccc(C(C)C(=O)O)cc1"
SHARES = MEASURES[:-3]


@pytest.fixture(scope="module")
def choices(tmp_path_factory):
    path = tmp_path_factory.mktemp("smiles") / "small.smi"
    path.write_text("\n".join([*SMILES, LARGE]) + "\n")
    return {
        "kind": "molecules",
        "title": "Tiny",
        "smiles": {"path": str(path)},
        "recipe": {
            "name": "zinc250k", "max_nodes": 11, "num_epochs": 6, "batch_size": 16,
            "adjacency_depth": 2,
        },
        "heldout": 0.25,
        "num_molecules": 5,
        "num_runs": 2,
        "sampling_batch": 3,
        "checkpoint_every": 4,
        "published": {"num_calls": [4, 8]},
        "exponential": {"num_calls": [3]},
    }  # fmt: skip


@pytest.fixture(scope="module")
def finished(choices, run_once):
    return run_once(choices)


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def without_times(metrics):
    return {name: value for name, value in metrics.items() if "seconds" not in name}


def test_writes_numbers_figures_and_a_report(finished):
    metrics = metrics_of(finished)
    assert all(np.isfinite(value) for value in metrics.values())
    counts = [metrics[f"num_{name}"] for name in ("training", "heldout", "left_out")]
    assert counts == [24, 8, 1]
    for key in ("published_4", "published_8", "exponential_3"):
        assert all(0 <= metrics[f"{name}_{key}"] <= 1 for name in SHARES)
        assert metrics[f"validity_corrected_{key}"] == 1
        assert metrics[f"validity_strict_{key}"] <= metrics[f"validity_{key}"]
        assert metrics[f"atoms_{key}_std"] >= 0
    for name in ("molecules", "validity", "loss"):
        assert (finished / f"{name}.png").is_file()
    page = (finished / "report.html").read_text()
    assert "Trained on 24 molecules" in page
    assert "exponential steps, 3 calls" in page


def test_held_out_molecules_are_valid_and_new(finished):
    metrics = metrics_of(finished)
    for name in ("validity", "connected", "uniqueness", "novelty"):
        assert metrics[f"{name}_heldout"] == 1
    assert "validity_heldout_std" not in metrics


def test_the_prior_knows_its_atoms(finished):
    prior = load_graph_prior(finished / "prior")
    assert prior.info["atoms"] == list(ZINC_ATOMS)
    assert prior.info["bond_orders"] == [0, 1, 2, 3]
    assert prior.info["metrics"] == metrics_of(finished)
    assert prior.scores.num_features == 9
    assert sum(prior.moments.sizes.values()) == 24


def test_an_interrupted_run_goes_on_to_the_same_numbers(
    finished, choices, tmp_path, monkeypatch, capsys
):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(choices))
    words = ["run", str(path), "--out", str(tmp_path / "out")]
    drawn = []
    generate = study_module.generate

    def failing(*args, **kwargs):
        drawn.append(kwargs)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return generate(*args, **kwargs)

    monkeypatch.setattr(study_module, "generate", failing)
    assert main(words) == 130
    assert "--resume" in capsys.readouterr().err
    stages = tmp_path / "out.partial" / "stages"
    assert (stages / "training.safetensors").is_file()
    assert (stages / "published_4_run1.npz").is_file()
    assert main([*words, "--resume"]) == 0
    # of two runs each by three ways, two were there
    assert len(drawn) == 3 + 4
    # the published start doesn't know the molecules
    assert [kwargs["moments"] is None for kwargs in drawn] == [True] * 5 + [False] * 2
    assert {kwargs["batch_size"] for kwargs in drawn} == {3}
    assert without_times(metrics_of(tmp_path / "out")) == without_times(metrics_of(finished))


def test_the_seed_decides_who_is_held_out():
    def heldout(seed):
        split = split_molecules(
            SMILES, atoms=ZINC_ATOMS, max_nodes=11, fraction=0.25, generator=derive_generator(seed)
        )
        both = (round_trip(part, ZINC_ATOMS, 5) for part in (split.training, split.heldout))
        training, kept = map(set, both)
        assert training.isdisjoint(kept)
        assert len(training | kept) == len(SMILES)
        return kept

    assert heldout(0) == heldout(0) != heldout(1)


@pytest.mark.parametrize(("fraction", "count"), [(0.001, 1), (0.5, 2), (0.999, 3)])
def test_someone_is_on_either_side(fraction, count):
    split = split_molecules(
        SMILES[:4], atoms=ZINC_ATOMS, max_nodes=6, fraction=fraction, generator=derive_generator(0)
    )
    assert (len(split.training.mask), len(split.heldout.mask)) == (4 - count, count)
    assert split.training.adjacency.dtype == torch.uint8


def test_batches_are_the_whole_in_order():
    split = split_molecules(
        SMILES, atoms=ZINC_ATOMS, max_nodes=11, fraction=0.2, generator=derive_generator(0)
    )
    parts = list(batched(split.training, 7))
    assert [len(part.mask) for part in parts] == [7, 7, 7, 5]
    joined = torch.cat([part.adjacency for part in parts])
    assert joined.dtype == torch.float32
    assert torch.equal(joined, split.training.adjacency.float())


def test_moments_of_parts_are_those_of_all():
    split = split_molecules(
        SMILES, atoms=ZINC_ATOMS, max_nodes=11, fraction=0.2, generator=derive_generator(0)
    )
    whole, pooled = graph_moments(split.training), graph_moments(split.training, batch_size=7)
    assert pooled.sizes == whole.sizes
    assert pooled.node_mean == pytest.approx(whole.node_mean)
    assert pooled.node_variance == pytest.approx(whole.node_variance)
    assert pooled.edge_mean == pytest.approx(whole.edge_mean)
    assert pooled.edge_variance == pytest.approx(whole.edge_variance)


def graphs_of(*molecules):
    """Graphs of a few carbons and fluorines, from texts and {(i, j): order}."""
    size = max(len(symbols) for symbols, _ in molecules)
    nodes = torch.zeros(len(molecules), size, 9)
    adjacency = torch.zeros(len(molecules), size, size)
    for k, (symbols, bonds) in enumerate(molecules):
        for i, symbol in enumerate(symbols):
            nodes[k, i, ZINC_ATOMS.index(symbol)] = 1
        for (i, j), order in bonds.items():
            adjacency[k, i, j] = adjacency[k, j, i] = order
    sizes = torch.tensor([len(symbols) for symbols, _ in molecules])
    return GraphState(nodes, adjacency, size_mask(sizes, size))


def test_scores_count_what_they_say():
    chain, ring = {(0, 1): 1, (1, 2): 1}, {(0, 1): 1, (1, 2): 1, (0, 2): 1}
    graphs = graphs_of(
        ("CCC", chain), ("CCC", chain), ("CCC", ring), ("CCF", {(0, 1): 1}), ("CFC", {(0, 1): 2}),
        ("NCCCC", {(0, i): 1 for i in range(1, 5)}),
    )  # fmt: skip
    scores = molecule_scores(graphs, ZINC_ATOMS, ["CCC", "CF"])
    assert scores["validity"] == pytest.approx(5 / 6)
    assert scores["validity_strict"] == pytest.approx(4 / 6)
    assert scores["connected"] == pytest.approx(4 / 5)
    # propane twice
    assert scores["uniqueness"] == pytest.approx(4 / 5)
    assert scores["novelty"] == pytest.approx(3 / 4)
    # CF=C becomes CF, which is known; CC.F becomes CC
    assert scores["validity_corrected"] == 1
    assert scores["uniqueness_corrected"] == pytest.approx(5 / 6)
    assert scores["novelty_corrected"] == pytest.approx(3 / 5)
    assert scores["atoms"] == pytest.approx(20 / 6)
    assert scores["bonds"] == pytest.approx(13 / 6)
    assert scores["rings"] == pytest.approx(1 / 6)
    assert scores["carbon"] == pytest.approx(17 / 20)


def test_shares_of_nothing_are_zero():
    scores = molecule_scores(graphs_of(("FFF", {(0, 1): 2, (1, 2): 1})), ZINC_ATOMS, [])
    assert scores["validity"] == scores["uniqueness"] == scores["novelty"] == 0


def test_runs_have_a_mean_and_a_spread():
    found = over_runs([{"atoms": 1.0}, {"atoms": 3.0}], "x")
    assert found == {"atoms_x": 2.0, "atoms_x_std": pytest.approx(np.sqrt(2))}
    assert over_runs([{"atoms": 1.0}], "x") == {"atoms_x": 1.0}


def test_rings_are_those_of_rdkit():
    from rdkit.Chem.rdMolDescriptors import CalcNumRings

    split = split_molecules(
        SMILES, atoms=ZINC_ATOMS, max_nodes=11, fraction=0.9, generator=derive_generator(0)
    )
    (heldout,) = batched(split.heldout, len(SMILES))
    texts = round_trip(split.heldout, ZINC_ATOMS)
    rings = [CalcNumRings(Chem.MolFromSmiles(text)) for text in texts]
    scores = molecule_scores(heldout, ZINC_ATOMS, [])
    assert scores["rings"] == pytest.approx(np.mean(rings))


def test_wrong_molecules_are_drawn_too(generator):
    pairs = torch.randint(0, 4, (1, 28), generator=generator).float()
    noise = graphs_of(("CNOFPSCC", {}))._replace(adjacency=from_pairs(pairs, 8))
    drawn = molecule_pictures(noise, ZINC_ATOMS)
    assert drawn["valid"].tolist() == [False]
    assert drawn["pictures"].dtype == np.uint8
    assert drawn["pictures"].std() > 5
    assert molecule_pictures(graphs_of(("CO", {(0, 1): 1})), ZINC_ATOMS)["valid"].tolist() == [True]


def test_settings_are_the_published_ones_but_for_the_changes():
    recipe = MoleculeRecipe(name="qm9").build()
    assert (recipe.max_nodes, recipe.batch_size, recipe.num_epochs) == (9, 1024, 300)
    changed = MoleculeRecipe(name="qm9", num_epochs=2).build()
    assert (changed.batch_size, changed.num_epochs) == (1024, 2)


def test_the_published_way_is_a_tenth_dearer():
    study = load_study("molecules_zinc250k")
    assert study.published.num_calls[-1] == 10 * study.exponential.num_calls[-1] == 2000
    recipe = study.recipe.build()
    published = study.published.build(recipe, 2000)
    assert published.predictor.num_steps == 1000
    assert (published.corrector.snr, published.corrector.noise_scale) == (0.2, 0.9)
    assert study.exponential.build(recipe, 200).num_steps == 200


def test_a_missing_file_is_refused_with_its_path(choices, refusal):
    line = refusal(choices | {"smiles": {"path": "nowhere/qm9.csv"}})
    assert line == "smiles.path: nowhere/qm9.csv: no such file"


def test_a_table_without_the_column_is_refused(choices, refusal, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("name\nCC\n")
    assert "expected a column 'SMILES'" in refusal(choices | {"smiles": {"path": str(table)}})


def test_a_machine_without_rdkit_is_told_what_to_install(choices, refusal, monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    assert "pip install 'invdiff[molecules]'" in refusal(choices)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipe": {"name": "enzymes"}}, "recipe.name"),
        ({"recipe": {"name": "qm9", "max_nodes": 1}}, "recipe.max_nodes"),
        ({"published": {"num_calls": [3]}}, "two calls a step"),
        ({"exponential": {"num_calls": [5, 3]}}, "increasing"),
        ({"published": {"num_calls": []}, "exponential": {"num_calls": []}}, "got none"),
        ({"heldout": 1.0}, "heldout"),
    ],
)
def test_refuses_choices_that_do_not_fit(choices, change, message):
    with pytest.raises(ValueError, match=message):
        parse_study(choices | change)


def test_refuses_a_list_where_nothing_is_left_to_hold_out():
    with pytest.raises(ValueError, match="two or more"):
        split_molecules(
            ["CC", LARGE], atoms=ZINC_ATOMS, max_nodes=5, fraction=0.5,
            generator=derive_generator(0),
        )  # fmt: skip
