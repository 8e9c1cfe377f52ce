"""The study that refines classical reconstructions, with tiny networks on phantom slices."""

import json

import numpy as np
import pytest
import torch

from invdiff.classical import fbp
from invdiff.rng import derive_generator
from invdiff.study.laboratory.classical_refinement_runs import (
    judged,
    rough_pairs,
    spread_over_error,
)
from invdiff.study.laboratory.classical_refinement_scans import FewLines, FewViews
from invdiff.study.load import parse_study
from invdiff.superres import ShiftedDiffusion


@pytest.fixture(scope="module")
def choices(tmp_path_factory):
    rows, columns = np.mgrid[-1:1:32j, -1:1:32j]
    radii = np.linspace(0.3, 0.8, 12)[:, None, None]
    discs = np.where(np.hypot(rows, columns) < radii, 100 + 100 * radii, 0).astype(np.uint8)
    path = tmp_path_factory.mktemp("slices") / "discs.npz"
    np.savez(path, x=discs, subject=np.repeat(["a", "b", "c", "d"], 3))
    slices = {"slices": {"path": str(path)}}
    return {
        "kind": "classical-refinement",
        "title": "Tiny",
        "tasks": {
            "ct": slices | {"scan": {"kind": "few-views", "views": 6}},
            "mr": slices | {"scan": {"kind": "few-lines", "noise": 0.05}},
        },
        "network": {"channels": [16, 32], "batch_size": 4, "num_steps": 5, "num_warmup": 1},
        "num_steps": 3,
        "num_images": 2,
        "num_samples": 2,
    }


@pytest.fixture(scope="module")
def finished(choices, run_once):
    return run_once(choices)


def test_writes_numbers_figures_and_both_scans(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert all(np.isfinite(value) for value in metrics.values())
    for name in ("ct", "mr"):
        assert (metrics[f"{name}_num_training"], metrics[f"{name}_num_heldout"]) == (9, 3)
        assert metrics[f"{name}_by_subject"] == 1
        assert metrics[f"{name}_psnr_tv"] > metrics[f"{name}_psnr_rough"]
        assert (finished / f"images_{name}.png").is_file()
    assert (finished / "loss.png").is_file()
    page = (finished / "report.html").read_text()
    assert "ct: filtered back-projection" in page
    assert "mr: zero-filled" in page


def test_the_scores_are_those_of_the_images(finished):
    found = np.load(finished / "arrays.npz")
    error = ((found["ct_mean"] - found["ct_truth"]) ** 2).mean((1, 2))
    np.testing.assert_allclose(found["ct_psnr_mean"], -10 * np.log10(error), rtol=1e-4)
    np.testing.assert_allclose(found["ct_mean"], found["ct_samples"].mean(0), atol=1e-6)


def test_the_network_sees_images_in_the_units_of_the_refiner(choices, finished):
    task = parse_study(choices).tasks["ct"]
    pairs = rough_pairs(task.scan, task.parts(), 0)
    rms = float((2 * (pairs.truth - pairs.rough)).square().mean().sqrt())
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["ct_sigma_data"] == pytest.approx(rms, rel=1e-5)


def test_a_refiner_that_repeats_the_rough_image_gives_it_back(choices):
    class Repeating:
        data_range = (-1.0, 1.0)

        def center(self, y):
            return y

        def __call__(self, x, sigma, y):
            return y

    task, sampler = parse_study(choices).tasks["ct"], ShiftedDiffusion(num_steps=3)
    found = judged(
        task.scan, task.parts(), Repeating(), sampler, num_images=2, num_samples=2, seed=0
    )
    np.testing.assert_allclose(found["mean"], found["rough"].clip(0, 1), atol=1e-5)


def test_the_step_on_the_data_explains_them_better(choices, finished):
    scan = parse_study(choices).tasks["ct"].scan
    found = np.load(finished / "arrays.npz")
    truth, mean, consistent = (
        torch.from_numpy(found[f"ct_{name}"]) for name in ("truth", "mean", "consistent")
    )
    operator = scan.operator(32, derive_generator(0, "operator"))
    likelihood = scan.measured(operator, truth, derive_generator(0, "noise", "heldout"))
    after = likelihood.residual_over_noise(consistent)
    assert (after < 0.9 * likelihood.residual_over_noise(mean)).all()


def test_pairs_are_what_the_scan_makes_of_the_slices(choices):
    task = parse_study(choices).tasks["ct"]
    parts = task.parts()
    scan = FewViews(views=40, noise=1e-6)
    pairs = rough_pairs(scan, parts, 0)
    operator = scan.operator(32, derive_generator(0, "operator"))
    likelihood = scan.measured(operator, pairs.truth, derive_generator(1))
    # without noise to speak of, any other draw of it gives the same
    torch.testing.assert_close(pairs.rough, fbp(likelihood), rtol=0, atol=1e-4)
    assert pairs.truth.shape == (9, 32, 32)
    # many views and no noise: most of the image is there
    error = ((pairs.rough - pairs.truth) ** 2).mean() / (pairs.truth**2).mean()
    assert error < 0.1


def test_zero_filling_of_all_lines_is_the_image():
    scan, x = FewLines(acceleration=1.0, noise=1e-6), torch.rand(2, 8, 8)
    operator = scan.operator(8, derive_generator(0))
    likelihood = scan.measured(operator, x, derive_generator(0))
    torch.testing.assert_close(scan.rough(likelihood), x, rtol=0, atol=1e-4)


def test_the_spread_of_calibrated_samples_is_the_error_of_their_mean():
    generator = np.random.default_rng(0)
    drawn = generator.normal(size=(5, 2000, 4, 4))
    arrays = {
        "samples": drawn[1:],
        "truth": drawn[0],
        "mean": drawn[1:].mean(0),
        "spread": drawn[1:].std(0, ddof=1),
    }
    # each mean square has a standard error below 1 %
    assert spread_over_error(arrays) == pytest.approx(1, abs=0.03)


def test_refinement_refusals(choices):
    with pytest.raises(ValueError, match="names of letters and digits, got 'a-b'"):
        parse_study(choices | {"tasks": {"a-b": choices["tasks"]["ct"]}})
    with pytest.raises(ValueError, match="runs on a CPU, got cuda"):
        parse_study(choices | {"device": "cuda"})
    with pytest.raises(ValueError, match="sigma_min < sigma_max"):
        parse_study(choices | {"sigma_max": 0.001})
