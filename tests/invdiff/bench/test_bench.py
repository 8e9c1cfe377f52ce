from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import torch

from invdiff.bench import Contender, Machine, as_markdown, bench_operators, dot_error, peers
from invdiff.bench.case import Case
from invdiff.bench.cases_ct import cone, scan
from invdiff.bench.cases_fourier import blur, mri, nufft
from invdiff.bench.contender import Unavailable
from invdiff.bench.setups import ScanSetup, of_operator, random_images
from invdiff.study.cli import main
from operators import (
    FanBeam2D,
    FanGeometry,
    FiniteDifferences,
    ImageGrid,
    ParallelBeam2D,
    ParallelGeometry,
)

MACHINE = Machine("some processor", "cpu", 1, 1e10, 1e11, 2.5e9)


def _absent():
    raise Unavailable("not installed")


@pytest.fixture
def small_cases(monkeypatch):
    small = {
        "ct": partial(scan, "parallel", 16, 8, 2),
        "fan": partial(scan, "fan", 16, 8, 2),
        "mri": partial(mri, 16, 2, 2),
        "blur": partial(blur, 16, 3, 2),
        "nufft": partial(nufft, 1e-3, 16, 2, 8),
        "cone": partial(cone, 6, 3, 8),
    }
    monkeypatch.setattr("invdiff.bench.runner.CASES", {"cpu": small})
    return small


def test_every_case_has_times_and_an_adjoint_of_ours(small_cases):
    rows = list(bench_operators(MACHINE, rounds=1))
    ours = [row for row in rows if row.contender == "invdiff"]
    assert [row.case for row in ours] == list(small_cases)
    assert all(min(row.forward_ms, row.adjoint_ms, row.limit_ms) > 0 for row in ours)
    assert all(row.dot_error < 1e-6 for row in ours)


def test_dot_error_sees_a_wrong_adjoint():
    differences = FiniteDifferences((8, 8))
    x = random_images(2, 8, 8, device="cpu")
    right = of_operator("right", differences, x)
    wrong = Contender("wrong", right.forward, lambda y: -differences.adjoint(y), right.x, right.y)
    assert dot_error(right) < 1e-6
    assert dot_error(wrong) > 0.01


def test_absent_peer_is_named_with_its_reason(monkeypatch):
    case = Case("a case", 1, lambda machine: 1e-3, {"peer": _absent})
    monkeypatch.setattr("invdiff.bench.runner.CASES", {"cpu": {"a": lambda machine: case}})
    (row,) = bench_operators(MACHINE, rounds=1)
    assert row.remark == "not installed"
    assert "| peer | not installed |" in as_markdown([row])


@pytest.mark.parametrize("bad", [{"names": ["ct-spiral"]}, {"rounds": 0}])
def test_refuses_unknown_cases_and_no_rounds(bad):
    with pytest.raises(ValueError, match="bench: expected cases out of ct-parallel-1"):
        list(bench_operators(MACHINE, **bad))


def test_command_writes_json(small_cases, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Machine, "measured", classmethod(lambda cls, device, threads: MACHINE))
    file = tmp_path / "bench.json"
    words = ["bench", "operators", "--case", "blur", "--rounds", "1", "--json", str(file)]
    assert main(words) == 0
    assert "| Blur 9x9, 3x16^2, batch 2 | invdiff |" in capsys.readouterr().out
    content = json.loads(file.read_text())
    assert content["machine"]["name"] == "some processor"
    assert {row["case"] for row in content["rows"]} == {"blur"}


def test_machine_is_measured():
    machine = Machine.measured("cpu", 1)
    assert min(machine.bytes_per_second, machine.flops) > 1e8


@pytest.mark.parametrize("kind", ["parallel", "fan"])
def test_astra_projects_the_same_scan(kind):
    pytest.importorskip("astra")
    grid = ImageGrid((32, 32), (0.8, 0.8))
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, 32),) * 2, indexing="ij")
    image = torch.exp(-4 * ((x - 0.2) ** 2 + (y + 0.1) ** 2))
    if kind == "parallel":
        case = ParallelGeometry.covering(grid, 7), "linear"
        ours = ParallelBeam2D(grid, case[0])
    else:
        distances = {"source_to_axis": 60.0, "source_to_detector": 90.0}
        case = FanGeometry.covering(grid, 7, **distances), "line"
        ours = FanBeam2D(grid, case[0])
    contender = peers.astra_scan(ScanSetup(grid, case[0], image[None]), case[1])
    theirs = contender.forward(contender.x)[0].reshape(case[0].shape) * 0.8  # pixels to mm
    # two models of a line through pixels, on a smooth image
    np.testing.assert_allclose(theirs, ours(image).numpy(), atol=0.01 * theirs.max())


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--threads", "0"], "--threads: expected at least 1, got 0"),
        (["--json", "nowhere/bench.json"], "--json: no such folder: nowhere"),
    ],
)
def test_command_refuses_before_it_measures(words, reason, capsys):
    assert main(["bench", "operators", *words]) == 2
    assert capsys.readouterr().err == f"invdiff: error: {reason}\n"
