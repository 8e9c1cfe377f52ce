"""The study of restoration by a bridge, with a tiny network on the slices that ship."""

import json

import numpy as np
import pytest
import torch

from invdiff.data import sample_path
from invdiff.interpolants.restoration import BridgePrior, BridgeRestoration
from invdiff.likelihood import Likelihood
from invdiff.study.laboratory.interpolant_bridge_data import sparse_scan
from invdiff.study.laboratory.interpolant_bridge_runs import (
    Comparison,
    bridge_name,
    calibration,
    share_within,
)
from invdiff.study.laboratory.interpolant_bridge_scores import reliability
from invdiff.study.load import load_study, parse_study
from invdiff.study.run_scripted import run_study
from invdiff.study.stages import Stages


@pytest.fixture(scope="module")
def choices():
    return {
        "kind": "interpolant-bridge",
        "title": "Tiny",
        "slices": {"path": "nowhere"},
        "scans": [{"path": "nowhere either"}],
        "fallback": "sts-044",
        "holdout": {"fraction": 0.4, "gap": 0},
        "size": 32,
        "views": 8,
        "network": {
            "channels": [16, 32],
            "batch_size": 4,
            "num_steps": 70,
            "num_warmup": 5,
            "learning_rate": 4e-3,
            "ema_decay": 0.9,
            "dtype": "float32",
        },
        "num_heldout": 2,
        "calls": [1, 3],
        "num_samples": 3,
        "prior_calls": 4,
    }


@pytest.fixture(scope="module")
def finished(choices, run_once):
    return run_once(choices)


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_writes_numbers_figures_and_a_report(finished):
    metrics = metrics_of(finished)
    assert all(np.isfinite(value) for value in metrics.values())
    assert (metrics["num_training"], metrics["num_heldout"], metrics["by_subject"]) == (3, 2, 0)
    for name in ("pictures", "calls", "reliability", "loss"):
        assert (finished / f"{name}.png").is_file()
    page = (finished / "report.html").read_text()
    assert "from the end of the same scan" in page
    for method in ("fbp", "tv", "bridge_1", "bridge_3", "bridge_1_data", "bridge_3_data",
                   "regression", "red_diff_3", "red_diff_4"):  # fmt: skip
        assert 0 < metrics[f"psnr_{method}"] < 60
    gain = metrics["psnr_bridge_3_data"] - metrics["psnr_tv"]
    assert metrics["gain_bridge_3_data"] == pytest.approx(gain, abs=1e-4)
    # three calls afford one sample of three, and samples of one call are all the same
    assert metrics["psnr_budget_bridge_1"] == pytest.approx(metrics["psnr_bridge_1"], abs=1e-4)
    assert metrics["psnr_budget_bridge_3_data"] < metrics["psnr_mean_bridge_3_data"]


def test_a_few_steps_already_beat_the_back_projection(finished):
    metrics = metrics_of(finished)
    assert metrics["psnr_bridge_1"] > metrics["psnr_fbp"] + 1


def test_only_samples_have_a_spread(finished):
    metrics = metrics_of(finished)
    assert metrics["spread_bridge_3"] > 0
    assert 0 < metrics["within_bridge_3_data"] < 1
    assert not {"spread_bridge_1", "spread_tv"} & set(metrics)
    assert metrics["psnr_mean_bridge_3"] > metrics["psnr_bridge_3"]


def test_the_regression_is_another_network(finished):
    metrics = metrics_of(finished)
    assert metrics["psnr_regression"] != metrics["psnr_bridge_1"]
    assert metrics["psnr_regression"] > metrics["psnr_fbp"] + 1


def test_the_seed_decides_the_numbers(choices, tmp_path):
    network = choices["network"] | {"num_steps": 6}
    found = []
    for number, seed in enumerate((0, 0, 1)):
        study = parse_study(choices | {"seed": seed, "prior": None, "network": network})
        found.append(study.compute(Stages(tmp_path / str(number))).metrics)
    first, same, other = found
    for name, value in first.items():
        assert "seconds" in name or same[name] == pytest.approx(value)
    assert other["psnr_bridge_1"] != first["psnr_bridge_1"]


def comparison_with(truth):
    scan = sparse_scan(truth, 6, 0.01)
    known = scan.measured(truth, torch.Generator().manual_seed(0))
    return Comparison(known, truth, 0), scan


def test_a_perfect_predictor_is_perfect(choices):
    truth = torch.rand(2, 16, 16, generator=torch.Generator().manual_seed(1))
    comparison, _ = comparison_with(truth)
    prior = BridgePrior(
        lambda x, t, x0: truth.expand_as(x),
        parse_study(choices).network.interpolant,
        lambda known: torch.zeros_like(truth),
    )
    runs = comparison.bridge(prior, [BridgeRestoration(3)], 2)
    assert (runs["bridge_3/psnr"] > 100).all()
    assert runs["bridge_3/images"].shape == (2, 2, 16, 16)
    assert bridge_name(3, True) == "bridge_3_data"


def test_the_noise_is_a_share_of_the_largest_line_integral():
    truth = torch.zeros(3, 16, 16)
    truth[1] = 0.5
    _, scan = comparison_with(truth)
    known = scan.measured(truth, torch.Generator().manual_seed(0))
    assert isinstance(known, Likelihood)
    # the longest line of the unit square's diagonal may be between the rays
    largest = scan.noise.sigma / 0.01
    assert 0.5 * 16 <= largest <= 0.5 * 16 * 2**0.5
    assert known.y[0].std().item() == pytest.approx(scan.noise.sigma, rel=0.2)


def test_pairs_are_turned_alike_and_measured_anew():
    truth = torch.zeros(1, 16, 16)
    truth[0, 2:6, 9:14] = 1
    _, scan = comparison_with(truth)
    x0, x1, condition = scan.coupling(truth).draw(40, torch.Generator().manual_seed(0))
    assert x0.shape == x1.shape == (40, 1, 16, 16)
    assert len(torch.unique(x1, dim=0)) > 4
    assert torch.equal(condition, x0)
    # each reconstruction is brightest where its own image is
    assert ((x0 * x1).sum((1, 2, 3)) > 0.5 * x0.clamp(min=0).sum((1, 2, 3))).all()
    assert len(torch.unique(x0, dim=0)) == 40


def test_exact_samples_are_calibrated():
    generator = torch.Generator().manual_seed(0)
    deviation = 0.1 * torch.rand(3, 40, 40, generator=generator)
    draws = 0.5 + deviation * torch.randn(65, 3, 40, 40, generator=generator)
    found = calibration(draws[:-1], draws[-1])
    # 4800 pixels
    assert found["error"] == pytest.approx(found["spread"], rel=0.05)
    assert found["within"] == pytest.approx(0.68, abs=0.03)
    groups = reliability(draws[:-1].numpy(), draws[-1].numpy())
    np.testing.assert_allclose(groups["reliability/found"], groups["reliability/claimed"],
                               rtol=0.15)  # fmt: skip
    assert calibration(draws[:1], draws[-1]) == {}


def test_few_samples_have_the_share_of_students_law():
    generator = torch.Generator().manual_seed(0)
    draws = 0.5 + 0.1 * torch.randn(5, 3, 60, 60, generator=generator)
    found = calibration(draws[:-1], draws[-1])
    # 10800 pixels
    assert found["within"] == pytest.approx(share_within(4), abs=0.02)
    assert share_within(4) == pytest.approx(0.609, abs=1e-3)
    assert share_within(10_000) == pytest.approx(0.683, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prior": "nobody"}, "prior: expected one of"),
        ({"size": 8, "network": {"channels": [16, 32]}}, "prior: ct-256 with images of side 8"),
    ],
)
def test_refuses_a_prior_before_the_training(choices, change, message, tmp_path):
    study = parse_study(choices | change)
    with pytest.raises(ValueError, match=message):
        study.compute(Stages(tmp_path))
    assert not any(tmp_path.iterdir())


def test_refuses_a_device_that_is_not_there(choices, tmp_path):
    with pytest.raises(ValueError, match="device: "):
        run_study(parse_study(choices | {"device": "nonsense"}), tmp_path / "out")


def test_the_shipped_study_says_what_it_needs():
    study = load_study("interpolant_bridge")
    assert (study.fallback, study.size, len(study.scans)) == ("sts-044", 128, 5)
    assert sample_path(study.fallback).exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 36}, "size: expected a multiple of 8, got 36"),
        ({"calls": [1]}, "calls: expected increasing"),
        ({"calls": [5, 2]}, "calls: expected increasing"),
        ({"calls": [2, 2]}, "calls: expected increasing"),
        ({"fallback": "nobody"}, "fallback: expected one of"),
        ({"network": {"channels": [16, 24]}}, "multiples of 16"),
        ({"noise": 0.0}, "noise"),
    ],
)
def test_refuses_choices_that_do_not_fit(choices, change, message):
    with pytest.raises(ValueError, match=message):
        parse_study(choices | change)


def test_refuses_a_size_that_does_not_divide_the_slices(choices, tmp_path):
    study = parse_study(choices | {"size": 48})
    with pytest.raises(ValueError, match="size: expected a divisor of 256, got 48"):
        study.compute(None)


def test_refuses_missing_scans_without_a_fallback(choices, tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=np.zeros((4, 32, 32), np.uint8))
    study = parse_study(choices | {"slices": {"path": str(path)}, "fallback": None})
    with pytest.raises(ValueError, match="no such file"):
        study.compute(None)
