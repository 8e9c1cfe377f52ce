"""The study that trains a super-resolution prior, with a tiny network on phantom slices."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

from invdiff.rng import derive_generator
from invdiff.study.cli import main
from invdiff.study.laboratory.sr_training_scores import denoising_errors
from invdiff.study.laboratory.sr_training_slices import (
    HoldoutConfig,
    SliceArchive,
    SliceSource,
    varied_parts,
)
from invdiff.study.load import load_study, parse_study
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
    assert archive.values.shape == (5, 256, 256)
    parts = study.holdout.split(archive)
    assert (len(parts.training), len(parts.heldout), parts.by_subject) == (2, 1, False)


@pytest.mark.parametrize(
    ("fraction", "count"), [(0.01, 1), (0.25, 1), (0.5, 2), (0.75, 3), (0.99, 3)]
)
def test_nobody_is_on_both_sides(fraction, count):
    subjects = np.array([0, 1, 2, 3, 0, 1, 2, 3])
    archive = SliceArchive(torch.arange(8).reshape(8, 1, 1), subjects)
    parts = HoldoutConfig(fraction=fraction).split(archive)
    kept = set(subjects[parts.heldout.flatten()])
    assert len(kept) == count
    assert kept.isdisjoint(subjects[parts.training.flatten()])
    assert len(parts.training) + len(parts.heldout) == 8
    assert parts.by_subject


@pytest.mark.parametrize(
    ("total", "gap", "ends"), [(100, 0, (80, 80)), (100, 16, (64, 80)), (5, 16, (2, 4))]
)
@pytest.mark.parametrize("known", [True, False])
def test_a_block_stays_away_from_the_training(total, gap, ends, known):
    one = np.zeros(total, int) if known else None
    archive = SliceArchive(torch.arange(total).reshape(-1, 1, 1), one)
    parts = HoldoutConfig(fraction=0.2, gap=gap).split(archive)
    assert parts.training.flatten().tolist() == list(range(ends[0]))
    assert parts.heldout.flatten().tolist() == list(range(ends[1], total))
    assert not parts.by_subject


def test_refuses_to_split_one_slice():
    with pytest.raises(ValueError, match="two or more"):
        HoldoutConfig().split(SliceArchive(torch.zeros(1, 4, 4), None))


def write_nifti_phantom(path, count, factor):
    """Slices of 30 x 20 with pixels of 2 mm."""
    values = factor * phantoms(count, 30)[:, :, 5:25].astype(np.float32)
    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(values.transpose(2, 1, 0), np.diag([2.0, 2.0, 3.0, 1.0])), path)


def test_every_file_and_folder_is_a_subject(tmp_path):
    write_nifti_phantom(tmp_path / "a.nii.gz", 2, 1)
    write_nifti_phantom(tmp_path / "b" / "t1.nii.gz", 3, 5)
    write_nifti_phantom(tmp_path / "b" / "t2.nii", 2, 1)
    (tmp_path / "readme.txt").write_text("no scan")
    archive = SliceSource(path=str(tmp_path), modality="MR", size=64, pixel_mm=1.0).read()
    assert archive.values.shape == (7, 64, 64)
    assert archive.values.dtype == torch.uint8
    assert archive.subjects.tolist() == [0, 0, 1, 1, 1, 1, 1]
    # each file by its own percentile, white at 255; 2 mm pixels in 1 mm ones
    assert [int(archive.values[k].max()) for k in (1, 4, 6)] == [255, 255, 255]
    bright = (archive.values[1] > 127).sum()
    assert bright == pytest.approx(4 * (phantoms(2, 30)[1, :, 5:25] > 0).sum(), rel=0.05)


def test_ct_is_relative_to_two_and_a_half_times_water(tmp_path):
    values = np.stack([np.full((8, 8), hu) for hu in (-1200, -1000, 0, 1500, 3000)])
    path = tmp_path / "ct.nii.gz"
    nib.save(nib.Nifti1Image(values.T.astype(np.float32), np.eye(4)), path)
    archive = SliceSource(path=str(path), modality="CT", size=8).read()
    assert archive.values[:, 4, 4].tolist() == [0, 0, 102, 255, 255]
    assert archive.subjects.tolist() == [0] * 5


def test_parts_are_where_something_is():
    slices = torch.zeros(10, 40, 40, dtype=torch.uint8)
    slices[:, 20:, 20:] = torch.arange(400).reshape(20, 20) % 256
    parts = varied_parts(slices, 12, 4, derive_generator(0))
    assert parts.shape == (4, 12, 12)
    assert -1 <= parts.min() < parts.max() <= 1
    # a single draw misses the structure in half of the cases
    assert (parts.flatten(1).std(1) > 0.1).all()
    assert varied_parts(slices[:2], 12, 4, derive_generator(0)).shape == (2, 12, 12)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": phantoms(2)}, "no x"),
        ({"x": phantoms(2) / 255}, "float64"),
        ({"x": phantoms(2)[0]}, "shape"),
        ({"x": phantoms(2)[:0]}, "shape"),
        ({"x": phantoms(2)[:, 1:]}, "shape"),
        ({"x": phantoms(2), "subject": np.arange(3)}, "2 slices, but subject"),
    ],
)
def test_refuses_archives_of_another_form(tmp_path, arrays, message):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        SliceSource(path=str(tmp_path / "bad.npz")).read()


def test_refuses_paths_without_slices(tmp_path):
    (tmp_path / "bad.npz").write_text("nothing")
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("bad.npz", "not a readable archive"),
        ("none", "no such"),
        ("empty", "empty"),
    ):
        with pytest.raises(ValueError, match=message):
            SliceSource(path=str(tmp_path / name)).read()


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
