"""All that a prior can be trained to say, on all that slices can be."""

import copy
import json
import shutil

import nibabel as nib
import numpy as np
import prior_training_choices as small
import pydicom
import pytest
import torch

from invdiff.data import sample_path
from invdiff.priors import load_prior
from invdiff.study.load import parse_study
from invdiff.study.prior_training import study as training
from invdiff.study.prior_training.judge import prior_of
from invdiff.study.stages import Stages


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Train as configured; give metrics, the folder of the prior, and the prior in memory."""
    kept, save = {}, training.save_with_card

    def save_and_keep(folder, **values):
        kept["network"] = values["network"]
        save(folder, **values)

    monkeypatch.setattr(training, "save_with_card", save_and_keep)

    def train(path, label=None, **changes):
        study = parse_study(small.choices(path, **changes))
        outcome = study.compute(Stages(tmp_path / "stages"))
        outcome.folders["prior"](tmp_path / "prior")
        network = copy.deepcopy(kept["network"]).half().float()
        return outcome.metrics, tmp_path / "prior", prior_of(study, network, label)

    return train


def denoised(prior, sigma):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, *prior.image_shape, generator=generator)
    return prior(x, torch.tensor(sigma))


@pytest.mark.parametrize("kind", ["edm", "pfgm", "ddpm", "v", "sample", "flow"])
def test_every_objective_is_loaded_as_the_denoiser_that_was_trained(train, kind, tmp_path):
    choices = {"kind": kind} | ({"dof": 64.0} if kind == "pfgm" else {})
    metrics, folder, expected = train(small.archive(tmp_path), objective=choices)
    assert all(np.isfinite(value) for value in metrics.values())
    found = load_prior(folder)
    for sigma in (0.05, 0.5, 5.0):
        # the memory format of the convolutions differs
        torch.testing.assert_close(
            denoised(found, sigma), denoised(expected, sigma), rtol=1e-4, atol=1e-4
        )
    info = json.loads((folder / "prior.json").read_text())
    assert info.get("dof") == (64.0 if kind == "pfgm" else None)
    assert ("HeunSampler(dof=64)" in (folder / "README.md").read_text()) == (kind == "pfgm")


@pytest.fixture
def two_classes(tmp_path):
    """NIfTI files of six people in a folder of each class, which fill the image or half of it."""
    for name, share in (("large", 1.0), ("small", 0.5)):
        (tmp_path / "scans" / name).mkdir(parents=True)
        for k in range(6):
            side = np.linspace(-1, 1, 20) / share
            disc = np.hypot(side[:, None], side) < 0.7 + 0.04 * k
            volume = np.repeat(disc[..., None] * 300.0, 3, axis=2).astype(np.float32)
            image = nib.Nifti1Image(volume, np.diag([-1.0, -1, 1, 1]))
            nib.save(image, tmp_path / "scans" / name / f"p{k}.nii.gz")
    return tmp_path / "scans"


def conditional(**changes):
    slices = {"labels": "folder", "size": 16, "modality": "MR"}
    split = {"heldout": ["p4", "p5"]}
    return {"slices": slices, "split": split, "label_dropout": 0.5, **changes}


@pytest.mark.usefixtures("undrawn")
def test_classes_are_folders_and_an_experiment_names_one(
    train, two_classes, config, run, refusal, tmp_path
):
    metrics, folder, expected = train(two_classes, label=1, **conditional())
    assert metrics["num_training"] == 24
    info = json.loads((folder / "prior.json").read_text())
    assert info["classes"] == ["large", "small"]
    assert 'label="large"' in (folder / "README.md").read_text()
    found = load_prior(folder, label="small")
    torch.testing.assert_close(denoised(found, 0.5), denoised(expected, 0.5))
    apart = [denoised(load_prior(folder, label=name), 0.5) for name in ("large", "small")]
    assert not torch.equal(*apart)
    # the label beyond the classes is that of none
    none = load_prior(folder, label="large", guidance=0)
    for name, x in zip(("large", "small"), apart, strict=True):
        extrapolated = load_prior(folder, label=name, guidance=3)
        expected = 3 * x - 2 * denoised(none, 0.5)
        torch.testing.assert_close(denoised(extrapolated, 0.5), expected)
    config["prior"] = {"name": str(folder)}
    assert "label: this prior needs one of its classes large, small" in refusal(config)
    config["prior"]["label"] = "small"
    assert np.isfinite(run(config)[1]["psnr"])


def test_a_trial_without_a_class_is_refused_before_the_training(two_classes, tmp_path):
    trial = {"experiment": "inpainting", "set": {"sampler.num_steps": 2}}
    study = parse_study(small.choices(two_classes, **conditional(trial=trial)))
    with pytest.raises(ValueError, match="trial: label: this prior needs one of its classes"):
        study.compute(Stages(tmp_path / "stages"))
    assert not (tmp_path / "stages").exists()


def test_dropping_labels_of_slices_without_classes_changes_nothing(train, tmp_path):
    always, never = (
        train(small.archive(tmp_path), label_dropout=share)[0]["loss_heldout"]
        for share in (1.0, 0.0)
        if not shutil.rmtree(tmp_path / "stages", ignore_errors=True)
    )
    assert always == never


def complex_discs():
    phase = np.exp(2j * np.pi * np.linspace(0, 1, 24))[:, None, None]
    return (small.discs() / 255 * phase).astype(np.complex64)


def test_complex_slices_have_two_channels(train, tmp_path):
    metrics, folder, expected = train(
        small.archive(tmp_path, x=complex_discs()),
        slices={"complex": True},
        augmentation={"phase": 0.3},
    )
    found = load_prior(folder)
    assert found.image_shape == (2, small.SIDE, small.SIDE)
    torch.testing.assert_close(denoised(found, 0.5), denoised(expected, 0.5))
    assert all(np.isfinite(value) for value in metrics.values())
    card = (folder / "README.md").read_text()
    assert "2 channel(s), magnitudes in [0, 1] for" in card
    assert "operator.image: complex" in card


@pytest.mark.parametrize("change", [{"num_passes": 4}, {"num_passes": 2}, {"dtype": "bfloat16"}])
def test_memory_and_precision_are_nearly_free(train, change, tmp_path):
    plain, _, _ = train(small.archive(tmp_path))
    shutil.rmtree(tmp_path / "stages")
    metrics, _, _ = train(small.archive(tmp_path), optimisation=change)
    tolerance = 0.02 if "dtype" in change else 1e-4
    for name in ("loss_heldout", "loss_training"):
        assert metrics[name] == pytest.approx(plain[name], rel=tolerance)
    if "dtype" in change:
        assert metrics["loss_training"] != plain["loss_training"]


def test_a_compiled_network_learns_the_same(train, tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("gradients are wrong on a CPU")
    plain, _, _ = train(small.archive(tmp_path))
    shutil.rmtree(tmp_path / "stages")
    metrics, _, _ = train(small.archive(tmp_path), optimisation={"compile": True}, device="cuda")
    assert metrics["loss_heldout"] == pytest.approx(plain["loss_heldout"], rel=0.02)


def test_dicom_series_are_split_by_patient(train, tmp_path):
    """PatientID tells people apart, wherever their files lie."""
    for k, patient in enumerate(("anna", "bert", "anna")):
        (tmp_path / "scans" / f"series{k}").mkdir(parents=True)
        for file in sample_path("sts-044").glob("*.dcm"):
            dataset = pydicom.dcmread(file)
            dataset.PatientID, dataset.SeriesInstanceUID = patient, f"1.2.{k}"
            dataset.save_as(tmp_path / "scans" / f"series{k}" / file.name)
    metrics, folder, _ = train(tmp_path / "scans", slices={"size": 32}, split={"heldout": ["bert"]})
    sizes = metrics["num_training"], metrics["num_heldout"], metrics["by_subject"]
    assert sizes == (10, 5, 1)
    assert (
        "learnt from: 10 slices of 1 subject, by number in the order of their names: 1"
        in (folder / "README.md").read_text()
    )
