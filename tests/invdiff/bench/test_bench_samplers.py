from __future__ import annotations

import json
import time
from functools import partial

import pytest
import torch

from invdiff.bench import Machine, TimedDenoiser, bench_samplers, sampler_runner
from invdiff.bench.contender import Unavailable
from invdiff.bench.sampler_cases import inpainting, sparse_view
from invdiff.bench.sampler_contenders import CONTENDERS
from invdiff.study.cli import main

MACHINE = Machine("some processor", "cpu", 1, 1e10, 1e11, 2.5e9)
OURS = {name: set_up for name, set_up in CONTENDERS.items() if name.startswith("invdiff")}
NEED_SVD = {f"invdiff {name}" for name in ("DDRM", "DDNM", "MCGDiff", "FPS")}


class Slow:
    """Ten milliseconds each way."""

    data_range, image_shape = (-1.0, 1.0), None

    def __call__(self, x, sigma):
        class Wait(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                time.sleep(0.01)
                return x / 2

            @staticmethod
            def backward(ctx, gradient):
                time.sleep(0.01)
                return gradient / 2

        return Wait.apply(x)


@pytest.fixture
def small_cases(monkeypatch):
    small = {"inpainting": partial(inpainting, 16, 2), "ct": partial(sparse_view, 16, 2)}
    monkeypatch.setattr(sampler_runner, "SAMPLER_CASES", {"cpu": small})
    monkeypatch.setattr(sampler_runner, "load_prior", lambda *_, **__: Slow())
    monkeypatch.setattr(sampler_runner, "CONTENDERS", OURS)
    return small


def test_a_timed_denoiser_counts_both_directions_and_nothing_else():
    denoiser = TimedDenoiser(Slow())
    sigma, start = torch.tensor(1.0), time.perf_counter()
    denoiser(torch.zeros(3), sigma)
    x = torch.zeros(3, requires_grad=True)
    mean = denoiser(x, sigma)
    time.sleep(0.05)
    (gradient,) = torch.autograd.grad(mean.sum(), x)
    assert torch.equal(gradient, torch.full((3,), 0.5))
    # three calls of ten milliseconds, and not what lies between them
    assert 0.03 <= denoiser.seconds() <= time.perf_counter() - start - 0.05
    assert denoiser.seconds() == 0


def test_every_sampler_of_ours_has_times_in_every_case(small_cases):
    rows = list(bench_samplers(MACHINE, rounds=1, num_steps=3))
    assert {(row.case, row.contender) for row in rows} == {
        (case, name) for case in small_cases for name in OURS
    }
    absent = {row.contender for row in rows if row.remark}
    assert absent == NEED_SVD
    timed = [row for row in rows if not row.remark]
    assert all(row.step_ms > row.network_ms > 9 for row in timed)
    assert all(row.overhead > 1 and row.empty_ms > 0 for row in timed)


def test_an_absent_sampler_is_named_with_its_reason(small_cases, monkeypatch):
    def absent(*_):
        raise Unavailable("not installed")

    monkeypatch.setattr(sampler_runner, "CONTENDERS", {"peer": absent})
    row, _ = bench_samplers(MACHINE, rounds=1, num_steps=3)
    assert row.remark == "not installed"


def test_refuses_unknown_cases():
    with pytest.raises(ValueError, match="bench: expected cases out of inpainting-8"):
        list(bench_samplers(MACHINE, ["tomography"]))


def test_command_writes_json(small_cases, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Machine, "measured", classmethod(lambda cls, device, threads: MACHINE))
    file = tmp_path / "bench.json"
    words = ["bench", "samplers", "--case", "ct", "--rounds", "1", "--json", str(file)]
    assert main(words) == 0
    assert "| CT of 30 views, 16^2, batch 2 | invdiff RED-diff |" in capsys.readouterr().out
    rows = json.loads(file.read_text())["rows"]
    assert {row["contender"] for row in rows} == set(OURS)
