from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from invdiff.data import read_dicom, sample_path
from invdiff.study import commands, laboratory
from invdiff.study.cli import main
from invdiff.study.config import Experiment
from invdiff.study.load import list_experiments, load_experiment, load_study, parse_experiment
from invdiff.study.options import expanded
from invdiff.study.reconstruct import Reconstruct
from invdiff.study.sampling import KINDS, RedDiffConfig, sampler_config

TOP = Path(__file__).parents[2] / "experiments"
NAMES = [
    "ct_low_dose",
    "ct_sparse_view",
    "deblurring",
    "inpainting",
    "mri_cartesian",
    "mri_measured",
    "super_resolution",
]
# one of each kind, under its name; others have a longer one, or several
VOLUMES = ["volume_ct_limited", "volume_ct_sparse", "volume_mri"]
FEW_STEP = ["few_step_ct"]
MOLECULES = ["molecules_qm9", "molecules_zinc250k"]
TRAININGS = ["train_brain_mr_256", "train_ct_256", "train_tiny_ct"]
ROUTERS = ["train_router"]
SEVERAL = ("few-step", "graphs", "molecules", "prior-training", "router-training", "volume")
SWEEPS = ["sweep_ct"]
STUDIES = sorted(kind.replace("-", "_") for kind in laboratory.STUDIES if kind not in SEVERAL)
GRAPHS = [
    "graphs_community_small",
    "graphs_community_small_published",
    "graphs_community_small_training",
    "graphs_ego_small",
    "graphs_ego_small_training",
    "graphs_enzymes",
    "graphs_grid",
]


@pytest.mark.parametrize("name", STUDIES)
def test_shipped_study_is_valid(name) -> None:
    study = load_study(name)
    assert study.kind == name.replace("_", "-")
    assert study.title


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("volume", name) for name in VOLUMES),
        *(("few-step", name) for name in FEW_STEP),
        *(("prior-training", name) for name in TRAININGS),
    ],
)
def test_shipped_study_that_falls_back_to_a_sample_is_valid(kind, name) -> None:
    study = load_study(name)
    assert study.kind == kind
    assert study.title
    assert study.fallback


@pytest.mark.parametrize("name", MOLECULES)
def test_shipped_study_of_molecules_is_valid(name) -> None:
    study = load_study(name)
    assert study.kind == "molecules"
    assert study.recipe.name == name.removeprefix("molecules_")
    assert study.title


@pytest.mark.parametrize("name", ROUTERS)
def test_shipped_training_of_a_router_is_valid(name) -> None:
    study = load_study(name)
    assert study.kind == "router-training"
    assert study.title
    assert all(expert.fallback for expert in study.experts.values())


@pytest.mark.parametrize("name", GRAPHS)
def test_shipped_study_of_graphs_is_valid(name) -> None:
    study = load_study(name)
    assert study.kind == "graphs"
    assert study.title
    assert study.graphs in name


def test_shipped_experiments_are_those_of_the_repository() -> None:
    lists = (NAMES, FEW_STEP, GRAPHS, MOLECULES, ROUTERS, STUDIES, SWEEPS, TRAININGS, VOLUMES)
    names = sorted(name for several in lists for name in several)
    assert list_experiments() == names == sorted(path.stem for path in TOP.glob("*.yaml"))
    shipped = Path(commands.__file__).parent / "experiments"
    for name in names:
        file = f"{name}.yaml"
        assert (TOP / file).read_bytes() == (shipped / file).read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_shipped_experiment_is_valid_and_changes_no_sampler_default(name) -> None:
    experiment = load_experiment(name)
    assert experiment == load_experiment(str(TOP / f"{name}.yaml"))
    assert experiment.sampler == RedDiffConfig()
    assert experiment.baselines


@pytest.mark.parametrize("kind", KINDS)
def test_sampler_configuration_has_every_number_of_the_sampler(kind) -> None:
    config = sampler_config(kind)
    sampler = config.build()
    numbers = {name for name in vars(sampler) if name != "optimizer"}
    assert numbers == set(config.model_dump()) - {"kind", "update", "learning_rate"}
    assert sampler == type(sampler)()


def test_another_kind_drops_the_keys_of_the_old_one() -> None:
    experiment = load_experiment("mri_cartesian", ["operator.kind=blur", "baselines=[tv]"])
    assert experiment.operator.kind == "blur"


def test_kinds_that_go_without_saying() -> None:
    experiment = load_experiment("ct_sparse_view", ["sampler.num_steps=7", "noise.level=0.1"])
    assert experiment.sampler.kind == "red-diff"
    assert experiment.noise.kind == "gaussian"


def test_set_takes_several_values() -> None:
    words = ["run", "x", "--set", "a=1", "b=2", "--out", "c=d", "--set", "e=3"]
    expected = ["run", "x", "--set", "a=1", "--set", "b=2", "--out", "c=d", "--set", "e=3"]
    assert expanded(words) == expected


def _reconstructed(scan, *words) -> Experiment:
    from invdiff.study.cli import _parse

    command = _parse(["reconstruct", str(scan), "--out", "out", *words])
    assert isinstance(command, Reconstruct)
    return parse_experiment(command.values(), command.set)


def test_options_of_reconstruct_become_a_configuration() -> None:
    words = [
        "--operator",
        "ct-parallel",
        "--views",
        "30",
        "--noise",
        "0.01",
        "--slice",
        "2",
        "--num-samples",
        "3",
    ]
    experiment = _reconstructed("scan.dcm", *words)
    assert experiment.operator.views == 30
    assert experiment.noise.level == 0.01
    assert experiment.input.slice == 2
    assert experiment.prior.name == "ct-256"
    assert experiment.num_samples == 3
    photons = _reconstructed("s.npy", *words[:4], "--photons", "1e4", "--pixel-mm", "0.8")
    assert photons.noise.photons == 1e4
    assert photons.input.grid.pixel_mm == 0.8
    mri = _reconstructed("k.h5", "--operator", "mri-cartesian", "--sigma", "estimate")
    assert mri.noise.sigma == "estimate"
    assert mri.prior.name == "brain-mr-256"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--operator blur", "--prior: blur says nothing about the image"),
        ("--operator ct-parallel", "operator.views: missing"),
        ("--operator mri-cartesian --views 3", "operator.views: unknown key"),
        ("--operator ct-parallel --views 3 --photons 9 --noise 1", "--photons: "),
        ("--operator ct-parallel --views 3 --sigma much", "--sigma: expected a number"),
        ("--operator ct-parallel --views 3", "nowhere.dcm: no such file"),
    ],
)
def test_reconstruct_refuses(words, reason, capsys, tmp_path) -> None:
    out = str(tmp_path / "out")
    assert main(["reconstruct", "nowhere.dcm", "--out", out, *words.split()]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert reason in lines[0]


@pytest.mark.usefixtures("undrawn")
def test_reconstruct_a_dicom_file(prior_folder, tmp_path) -> None:
    scan, out = sample_path("sts-044") / "3.dcm", tmp_path / "new" / "out"
    words = ["--operator", "ct-parallel", "--views", "8", "--prior", str(prior_folder)]
    sets = ["--set", "sampler.num_steps=2", "baselines=[fbp]"]
    assert main(["reconstruct", str(scan), "--out", str(out), *words, *sets]) == 0
    assert np.isfinite(json.loads((out / "metrics.json").read_text())["psnr"])
    assert read_dicom(out / "reconstruction-dicom").num_slices == 1


def test_demo(prior_folder, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(commands, "_DEMO", ("mri_cartesian", "ct_sparse_view"))
    out = tmp_path / "demo"
    tiny = [f"prior.name={prior_folder}", "sampler.num_steps=2", "baselines=[]"]
    tiny.append("input.grid={kind: fill}")
    assert main(["demo", "--out", str(out), "--set", *tiny]) == 0
    assert str(out / "index.html") in capsys.readouterr().out
    html = (out / "index.html").read_text()
    assert html.count("<article>") == 2
    assert main(["demo", "--out", str(out), "--resume", "--set", *tiny]) == 0
    assert main(["demo", "--out", str(out), "--set", *tiny]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_list(capsys) -> None:
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    for word in ("ct-256", "red-diff", "ct-fan", "transmission", "tv", "sts-044", *NAMES):
        assert f"  {word} " in text


def test_list_keeps_names_and_titles_apart(capsys) -> None:
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    for name in list_experiments():
        assert re.search(rf"^  {name}  ", text, re.MULTILINE)


@pytest.mark.parametrize("lines", [0, 1])
def test_output_that_nobody_reads_ends_quietly(lines) -> None:
    words = [sys.executable, "-m", "invdiff", "list"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        for _ in range(lines):
            program.stdout.readline()
        program.stdout.close()
        assert program.stderr.read() == b""
    # one line is read when all of them are written
    assert program.returncode in ((141,) if lines == 0 else (0, 141))


def test_broken_pipe_of_something_else_is_an_error(monkeypatch, capsys) -> None:
    def broken(self) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(commands.List, "__call__", broken)
    assert main(["list"]) == 2
    assert "Broken pipe" in capsys.readouterr().err


def test_help_and_version(capsys) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in ("run", "reconstruct", "demo", "list", "report"))
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("invdiff ")


@pytest.mark.parametrize("words", [[], ["rum"], ["run", "x"], ["run", "x", "--ot", "y"]])
def test_wrong_command_line(words, capsys) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from invdiff.study.cli import main; main(['--help']);"
        "assert not {'torch', 'numpy', 'pydantic', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_program_refuses_in_one_line_without_a_traceback(tmp_path) -> None:
    words = ["run", "ct_sparse_view", "--out", str(tmp_path / "out"), "--set", "sede=1"]
    done = subprocess.run(
        [sys.executable, "-m", "invdiff", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "invdiff: error: sede: unknown key, did you mean seed?\n"
