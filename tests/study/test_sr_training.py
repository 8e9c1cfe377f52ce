"""The study that trains a super-resolution prior, with a tiny network on phantom slices."""

import json

import numpy as np
import pytest
import torch
import yaml

from invdiff.rng import derive_generator
from invdiff.study.cli import main
from invdiff.study.laboratory.sr_training_scores import denoising_errors
from invdiff.study.load import load_study, parse_study
from invdiff.study.slices import varied_parts
from invdiff.superres.network_prior import load_super_resolution_prior
from invdiff.superres.recipe import train_super_resolution
from invdiff.training import NoiseLevels

SIGMAS = [0.1, 1.0]


def phantoms(count, side=40):
    """Discs of one grey value each, a different one in every slice."""
    rows, columns = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    radii = np.linspace(0.3, 0.9, count)[:, None, None]
    return np.where(np.hypot(rows, columns) < radii, 100 + 100 * radii, 0).astype(np.uint8)


@pytest.fixture(scope="module")
def choices(tmp_path_factory):
    path = tmp_path_factory.mktemp("slices") / "phantoms.npz"
    np.savez(path, x=phantoms(12), subject=np.repeat(["a", "b", "c", "d"], 3))
    return {
        "kind": "sr-training",
        "title": "Tiny",
        "slices": {"path": str(path)},
        "network": {"crop": 32, "channels": [16, 32], "batch_size": 4, "num_steps": 6},
        "sigmas": SIGMAS,
        "num_heldout": 3,
        "num_samples": 2,
        "num_calls": 2,
        "prior": {"title": "Discs", "modality": "none", "licence": "nobody's"},
    }


@pytest.fixture(scope="module")
def finished(choices, run_once):
    return run_once(choices)


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_writes_numbers_figures_and_a_report(finished):
    metrics = metrics_of(finished)
    assert all(np.isfinite(value) for value in metrics.values())
    assert (metrics["num_training"], metrics["num_heldout"], metrics["by_subject"]) == (9, 3, 1)
    for name in ("loss", "denoising", "samples"):
        assert (finished / f"{name}.png").is_file()
    page = (finished / "report.html").read_text()
    assert "Trained on 9 slices" in page
    assert "judged on 3 of other subjects" in page


def test_gains_are_differences_of_psnr(finished):
    metrics = metrics_of(finished)
    for sigma in SIGMAS:
        gain = metrics[f"psnr_{sigma:g}"] - metrics["psnr_bicubic"]
        assert metrics[f"gain_{sigma:g}"] == pytest.approx(gain)
    with np.load(finished / "arrays.npz") as stored:
        assert len(stored["loss"]) == 6
        # the noise of half a range leaves nothing to lean on but the enlargement
        shrunk, bicubic = stored["shrunk"], stored["bicubic"]
        assert (shrunk < bicubic).all()
        expected = bicubic * np.square(SIGMAS) / (bicubic + np.square(SIGMAS))
        # noise of three images of 32 x 32: its energy scatters by a few per cent
        np.testing.assert_allclose(shrunk, expected, rtol=0.15)


def test_the_prior_is_kept_with_its_text_and_numbers(finished):
    prior = load_super_resolution_prior(finished / "prior")
    assert (prior.factor, prior.patch, prior.data_range) == (4, 4, (-1.0, 1.0))
    assert prior.info["title"] == "Discs"
    assert prior.info["licence"] == "nobody's"
    assert prior.info["value_range"] == [0.0, 1.0]
    assert prior.info["heldout"] == metrics_of(finished)
    assert prior.info["training"]["num_steps"] == 6


def test_the_kept_prior_has_the_reported_numbers(finished):
    prior = load_super_resolution_prior(finished / "prior")
    parts = varied_parts(torch.from_numpy(phantoms(12)[9:]), 32, 3, derive_generator(0, "places"))
    errors = denoising_errors(prior, parts, SIGMAS, derive_generator(0, "noise"))
    with np.load(finished / "arrays.npz") as stored:
        np.testing.assert_allclose(errors["bicubic"], stored["bicubic"], rtol=1e-6)
        # its weights are rounded to half precision
        np.testing.assert_allclose(errors["denoised"], stored["denoised"], rtol=5e-3)
        assert not np.allclose(errors["denoised"], stored["shrunk"], rtol=5e-3)


def test_the_kept_prior_is_what_the_recipe_trains(finished, choices):
    recipe, generator = parse_study(choices).network.build(), derive_generator(0, "training")
    trained = train_super_resolution(
        torch.from_numpy(phantoms(12)[:9]), recipe, generator=generator
    )
    kept = load_super_resolution_prior(finished / "prior").network.state_dict()
    for name, weight in trained.network.state_dict().items():
        # half precision keeps eleven bits
        torch.testing.assert_close(kept[name], weight, rtol=1e-3, atol=1e-6)


def test_the_seed_decides_the_numbers(finished, choices, tmp_path):
    for seed in (0, 1):
        path = tmp_path / f"{seed}.yaml"
        path.write_text(yaml.safe_dump(choices | {"seed": seed}))
        assert main(["run", str(path), "--out", str(tmp_path / str(seed))]) == 0
    same, other = (metrics_of(tmp_path / str(seed)) for seed in (0, 1))
    for name, value in metrics_of(finished).items():
        assert name == "training_seconds" or same[name] == value
    assert other["loss_training"] != same["loss_training"]


def test_the_network_is_trained_as_configured(choices):
    changes = {"learning_rate": 1e-3, "log_mean": -1.0, "log_std": 0.5, "dtype": "bfloat16"}
    recipe = parse_study(choices | {"network": choices["network"] | changes}).network.build()
    assert (recipe.crop, recipe.channels, recipe.batch_size) == (32, (16, 32), 4)
    assert recipe.levels == NoiseLevels(-1.0, 0.5)
    assert (recipe.training.num_steps, recipe.training.learning_rate) == (6, 1e-3)
    assert recipe.training.dtype == torch.bfloat16


def test_the_shipped_study_says_what_it_needs():
    study = load_study("sr_training")
    assert study.fallback == "head-t1"
    archive = study.slices.model_copy(update={"path": "nowhere"}).read("head-t1")
    assert archive.values.shape == (5, 1, 256, 256)
    parts = study.holdout.split(archive)
    assert (len(parts.training), len(parts.heldout), parts.by_subject) == (2, 1, False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": {"crop": 36}}, "crop: expected a multiple of 16 and of 4, got 36"),
        ({"network": {"channels": [16, 24]}}, "multiples of 16"),
        ({"network": {"channels": [32, 48], "crop": 32}}, "the last of 32"),
        ({"network": {"dtype": "float16"}}, "network.dtype"),
        ({"fallback": "nobody"}, "fallback: expected one of"),
        ({"integrator": "nothing"}, "integrator: expected one of"),
        ({"sigmas": [0.0]}, "sigmas"),
        ({"holdout": {"fraction": 1.0}}, "holdout.fraction"),
        ({"prior": {"title": "x", "modality": "MR"}}, "prior.licence: missing"),
    ],
)
def test_refuses_choices_that_do_not_fit(choices, change, message):
    with pytest.raises(ValueError, match=message):
        parse_study(choices | change)
