"""The study of few-step flows, with tiny networks on the slices that ship."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from invdiff.interpolants.image_field import ImageField
from invdiff.interpolants.interpolant import OneSided
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.priors.gaussian import GaussianPrior
from invdiff.rng import derive_generator
from invdiff.study.laboratory.few_step_config import TeacherConfig, logit_normal_times
from invdiff.study.laboratory.few_step_runs import FewStepRuns
from invdiff.study.laboratory.few_step_scores import (
    Components,
    energy_distance,
    energy_error,
    flow_denoising_psnr,
    frechet_distance,
)
from invdiff.study.load import load_study, parse_study
from invdiff.study.stages import Stages
from invdiff.training import TrainingCheckpoint


@pytest.fixture(scope="module")
def choices():
    network = {"batch_size": 4, "num_warmup": 2, "ema_decay": 0.9}
    return {
        "kind": "few-step",
        "title": "Tiny",
        "slices": {"path": "nowhere"},
        "scans": [{"path": "nowhere either"}],
        "fallback": "sts-044",
        "holdout": {"fraction": 0.4, "gap": 0},
        "size": 32,
        "num_heldout": 2,
        "teacher": network | {"channels": [32], "num_steps": 12},
        "num_pairs": 6,
        "pair_steps": 2,
        "student": network | {"channels": [32], "num_steps": 10},
        "one_step": network | {"num_steps": 6},
        "calls": [1, 2],
        "num_samples": 8,
        "num_components": 2,
        "sigmas": [0.2],
        "reconstruction": {
            "num_slices": 1, "views": 8, "num_steps": 2, "num_restarts": 1, "red_diff_calls": 2,
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def finished(choices, run_once):
    return run_once(choices)


def test_writes_numbers_figures_and_a_report(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert all(np.isfinite(value) for value in metrics.values())
    assert (metrics["num_training"], metrics["num_heldout"], metrics["by_subject"]) == (3, 2, 0)
    for name in ("teacher", "plain", "student"):
        assert metrics[f"straightness_{name}"] > 0
        assert metrics[f"denoising_{name}_0.2"] > 0
        assert {f"energy_{name}_{n}" for n in (1, 2)} <= set(metrics)
    assert "energy_one_step_1" in metrics
    assert "energy_one_step_2" not in metrics
    assert metrics["energy_student_1"] != metrics["energy_plain_1"]
    assert metrics["energy_error_student_1"] > 0
    # the states of the trainings are gone
    assert not list(finished.rglob("*.safetensors"))
    for name in ("tv", "red_diff", "latent"):
        assert metrics[f"psnr_{name}"] > 0
        assert 0 <= metrics[f"ssim_{name}"] <= 1
    for name in ("pictures", "distances", "losses", "few_views"):
        assert (finished / f"{name}.png").is_file()
    page = (finished / "report.html").read_text()
    assert "from the end of the same slices" in page
    assert "not the FID" in page


def test_the_seed_decides_the_numbers_and_the_plain_student_may_be_left_out(
    choices, finished, tmp_path
):
    study, other = (parse_study(choices | {"seed": n, "plain": False}) for n in (0, 1))
    found = study.compute(Stages(tmp_path / "0")).metrics
    assert not any("plain" in name for name in found)
    assert study.tables(found)[0].rows[-1][0] == "one step"
    assert "without annealing" not in study.summary(found)
    whole = json.loads((finished / "metrics.json").read_text())
    for name, value in found.items():
        assert "seconds" in name or whole[name] == pytest.approx(value)
    again = other.compute(Stages(tmp_path / "1")).metrics
    assert again["energy_one_step_1"] != found["energy_one_step_1"]


def cloud(count, *labels, shift=0.0):
    generator = derive_generator(0, *labels)
    return torch.randn(count, 3, generator=generator, dtype=torch.float64) + shift


def test_distances_of_one_law_are_near_zero_and_of_two_their_closed_form():
    x, y = cloud(2000, "x"), cloud(2000, "y")
    assert abs(energy_distance(x, y)) < 0.01
    assert frechet_distance(x, y) < 0.02
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-10)
    # N(0, 1) and N(0, 4) in three dimensions, one unit of a coordinate apart
    far = 2 * y + torch.tensor([1.0, 0, 0])
    assert frechet_distance(x, far) == pytest.approx(1 + 3, rel=0.1)
    assert frechet_distance(x[:, :1], far[:, :1]) == pytest.approx(1 + 1, rel=0.2)
    # of small parts of a cloud as of other clouds: about the spread of these
    others = torch.tensor([energy_distance(cloud(200, f"{n}", shift=1.0), y) for n in range(20)])
    found = [energy_error(cloud(200, f"{n}", shift=1.0), y) for n in range(20)]
    assert np.mean(found) == pytest.approx(float(others.std()), rel=0.5)
    # two points, both at distance d: 2 d
    ends = torch.tensor([[0.0], [0.0]]).double()
    assert energy_distance(ends, ends + 3) == pytest.approx(6)


def test_components_keep_what_varies_most():
    slices = torch.zeros(5, 4, 4)
    slices[:, 1, 2] = torch.arange(5.0)
    slices[:, 0, 0] = torch.tensor([0.1, 0, 0.1, 0, 0.1])
    components = Components.of(slices, 1)
    expected = torch.arange(-2.0, 3).double()[:, None]
    found = components.coordinates(slices)
    torch.testing.assert_close(found * found[-1].sign(), expected, rtol=0, atol=1e-2)
    assert Components.of(slices, 9).coordinates(slices).shape == (5, 4)


def test_the_denoiser_of_an_exact_flow_has_the_error_in_closed_form():
    # of white images of spread s: s^2 sigma^2 / (s^2 + sigma^2)
    s, sigma = 0.5, 0.3
    prior = GaussianPrior(torch.zeros(1).double(), s**2)
    process = MixtureProcess(OneSided(), prior)

    def velocity(x, t):
        return process.velocity(x.reshape(-1, 1), t.mean()).reshape(x.shape)

    field = ImageField(velocity, (32, 32))
    images = s * torch.randn(20, 32, 32, generator=derive_generator(0, "i"), dtype=torch.float64)
    noise = torch.randn(20, 32, 32, generator=derive_generator(0, "n"), dtype=torch.float64)
    expected = 10 * np.log10(1 / (s**2 * sigma**2 / (s**2 + sigma**2)))
    found = flow_denoising_psnr(field, images, noise, sigma, 1.0)
    assert found == pytest.approx(expected, abs=0.1)


def test_times_that_are_logit_normal_are_most_in_the_middle():
    t = logit_normal_times(20_000, derive_generator(0, "times"))
    assert t.logit().mean().item() == pytest.approx(0, abs=0.03)
    assert t.logit().std().item() == pytest.approx(1, abs=0.03)


class Killed(Exception):
    """Stands for the end of a process."""


def test_a_training_that_was_killed_goes_on(tmp_path, monkeypatch):
    config = TeacherConfig(channels=(32,), batch_size=2, num_steps=8, num_warmup=1, ema_decay=0.5)
    slices = torch.randn(3, 16, 16, generator=derive_generator(0, "slices"))
    monkeypatch.setattr("invdiff.study.laboratory.few_step_runs._STEPS_KEPT", 3)
    whole = FewStepRuns(slices, 0, tmp_path / "whole").teacher(config)
    runs, built = FewStepRuns(slices, 0, tmp_path / "killed"), []
    save = TrainingCheckpoint.save

    def killed(self, *args, **options):
        save(self, *args, **options)
        built.append(1)
        if len(built) == 5:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(TrainingCheckpoint, "save", killed)
        with pytest.raises(Killed):
            runs.teacher(config)
    assert runs.state("teacher").is_file()
    again = runs.teacher(config)
    assert again.keys() == whole.keys()
    assert all(np.array_equal(again[name], whole[name]) for name in whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 31}, "multiple of 2 for the teacher"),
        ({"calls": [2, 1]}, "increasing numbers from 1"),
        ({"calls": [2, 4]}, "increasing numbers from 1"),
        ({"one_step": {"distillation": 0, "guidance": 0}}, "one above 0"),
    ],
)
def test_refuses_what_cannot_be(choices, change, message):
    with pytest.raises(ValueError, match=message):
        parse_study(choices | change)


def test_the_shipped_study_says_what_it_needs():
    study = load_study("few_step_ct")
    assert (study.fallback, study.size, len(study.scans)) == ("sts-044", 64, 5)
    assert sum(study.student.channels) < sum(study.teacher.channels)
    schedule = study.student.schedule
    assert 0 < schedule.num_steps < study.student.num_steps
