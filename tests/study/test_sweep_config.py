"""What a sweep is made of, and what is refused before anything runs."""

import pytest
import yaml

from invdiff.study.cli import main
from invdiff.study.config import Experiment
from invdiff.study.load import read_experiment
from invdiff.study.sweep import Axis, Sweep, cells_of, load_sweep

BASE = {
    "kind": "gaussian-calibration",
    "title": "Pixels",
    "samplers": [{"kind": "ddrm"}],
}
KEEP = {"key": "keep", "values": [0.5, 0.25]}
METHODS = [
    {"name": "RED-diff", "set": {"samplers": [{"kind": "red-diff"}]}},
    {"name": "DPS, large steps", "set": {"samplers": [{"kind": "dps"}], "sigma": 1e-5}},
]


def sweep_of(**changes):
    values = {"base": BASE, "axes": {"keep": KEEP, "method": METHODS}, **changes}
    return Sweep.model_validate(values)


@pytest.fixture
def refused(tmp_path, capsys):
    def refused(values, *words):
        path = tmp_path / "bad.yaml"
        path.write_text(yaml.safe_dump({"kind": "sweep", "base": BASE} | values))
        out = tmp_path / "out"
        assert main(["sweep", str(path), "--out", str(out), *words]) == 2
        assert not out.exists()
        (line,) = capsys.readouterr().err.splitlines()
        return line.removeprefix("invdiff: error: ")

    return refused


def test_cells_are_the_product_of_the_axes_and_named_by_their_points():
    assert [cell.name for cell in cells_of(sweep_of())] == [
        "keep-0.5_red-diff",
        "keep-0.5_dps-large-steps",
        "keep-0.25_red-diff",
        "keep-0.25_dps-large-steps",
    ]


def test_a_cell_has_the_base_the_common_values_and_those_of_its_points():
    cell = cells_of(sweep_of(set={"size": 8, "sigma": 0.3}))[3]
    study = cell.experiment()
    assert (study.size, study.keep, study.sigma) == (8, 0.25, 1e-5)
    assert study.samplers[0].kind == "dps"
    assert study.name == cell.name
    assert study.title == "Pixels: keep 0.25, DPS, large steps"


def test_another_kind_on_an_axis_drops_the_keys_of_the_old_one():
    base = read_experiment("ct_sparse_view") | {"sampler": {"kind": "red-diff", "num_cg": 3}}
    axes = {"sampler": {"key": "sampler.kind", "values": ["red-diff", "dds"]}}
    old, new = (cell.experiment() for cell in cells_of(Sweep(base=base, axes=axes)))
    assert isinstance(old, Experiment)
    assert (old.sampler.num_cg, new.sampler.kind) == (3, "dds")


def test_axes_that_are_no_repeats_are_compared():
    assert sweep_of(repeats=["keep"]).compared == ("method",)


def test_only_plain_numbers_are_joined_by_lines():
    for values, numeric in (([1, 2.5], True), ([True], False), (["a"], False)):
        assert Axis(key="x", values=values).is_numeric == numeric
    assert not sweep_of().axes["method"].is_numeric


def test_the_base_may_be_shipped_or_a_file_beside_the_sweep(tmp_path):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(BASE))
    path = tmp_path / "sweep.yaml"
    for name, title in (("mine.yaml", "Pixels"), ("ct_low_dose", None)):
        path.write_text(yaml.safe_dump({"kind": "sweep", "base": name, "axes": {"keep": KEEP}}))
        expected = title or read_experiment(name)["title"]
        assert load_sweep(str(path)).base["title"] == expected


def test_set_changes_all_cells_but_not_what_an_axis_sets(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump({"kind": "sweep", "base": BASE, "axes": {"keep": KEEP}}))
    sweep = load_sweep(str(path), ["size=4", "keep=0.9"])
    studies = [cell.experiment() for cell in cells_of(sweep)]
    assert [(s.size, s.keep) for s in studies] == [(4, 0.5), (4, 0.25)]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({}, "axes: missing"),
        ({"axes": {}}, "axes: Dictionary should have at least 1 item"),
        ({"axes": {"keep": {"key": "keep"}}}, "axes.keep: expected either a key with values"),
        ({"axes": {"keep": {"values": [1]}}}, "axes.keep: expected either a key with values"),
        ({"axes": {"keep": KEEP | {"vals": 1}}}, "axes.keep.vals: unknown key, did you mean v"),
        ({"axes": {"m": [{"name": "a"}]}}, "axes.m.settings.set: missing"),
        ({"axes": {"status": KEEP}}, "axes: the tables have a column of their own called 'status'"),
        ({"axes": {"keep": KEEP}, "repeats": ["seed"]}, "repeats: expected some of keep, got 's"),
        ({"axes": {"keep": KEEP}, "threads": 0}, "threads: should be greater than 0"),
        ({"axes": {"keep": KEEP | {"values": [1, 1]}}}, "axes: two cells are called keep-1"),
        ({"axes": {"k": {"key": "k" * 9, "values": ["a" * 250]}}}, "is too long a name"),
        (
            {"axes": {"keep": KEEP | {"values": [0.5, 2]}}},
            "cell keep-2: keep: should be less than 1",
        ),
        ({"axes": {"x": {"key": "kep", "values": [1]}}}, "cell x-1: kep: unknown key, did you mea"),
        ({"axes": {"keep": KEEP}, "base": "nothing"}, "nothing: no such file"),
        ({"axes": {"keep": KEEP}, "kind": "gaussian-calibration"}, "no sweep (kind: sweep)"),
    ],
)
def test_bad_values_are_refused_in_one_line_with_their_path(refused, values, line):
    assert line in refused(values)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--workers", "-1"], "--workers: expected at least 0, got -1"),
        (["--ray", "somewhere"], "--ray: expected auto, local, host:port or ray://..., got 'some"),
        (["--ray", "auto", "--workers", "2"], "--workers: on a cluster, its machines decide"),
        (["--ray", "local", "--workers", "0"], "--workers: expected at least 1 with --ray, got 0"),
        (["--set", "size"], "--set size: expected key=value"),
        (["--set", "size=["], "--set size: not YAML"),
    ],
)
def test_bad_options_are_refused_in_one_line(refused, words, line):
    assert line in refused({"axes": {"keep": KEEP}}, *words)


def test_a_missing_ray_is_told_in_one_line(refused, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "invdiff[cluster]" in refused({"axes": {"keep": KEEP}}, "--ray", "local")


def test_run_refuses_a_sweep_and_names_the_command(tmp_path, capsys):
    assert main(["run", "sweep_ct", "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "invdiff sweep" in line


def test_list_shows_sweeps_under_their_own_heading(capsys):
    assert main(["list"]) == 0
    experiments, sweeps = (
        capsys.readouterr().out.split("\n\nexperiments\n")[1].split("\n\nsweeps\n")
    )
    assert "sweep_ct" in sweeps
    assert "sweep_ct" not in experiments


def test_the_shipped_sweep_is_valid():
    sweep = load_sweep("sweep_ct")
    cells = cells_of(sweep)
    assert len(cells) == 24
    assert all(isinstance(cell.experiment(), Experiment) for cell in cells)
    assert sweep.title
