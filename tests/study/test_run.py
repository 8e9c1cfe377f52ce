from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pydicom
import pytest
import yaml

from invdiff.data import read_dicom, sample_path
from invdiff.study import run as run_module
from invdiff.study.cli import main
from invdiff.study.load import parse_experiment

pytestmark = pytest.mark.usefixtures("undrawn")

FILES = {
    "config.yaml",
    "metrics.json",
    "provenance.json",
    "reconstruction.nii.gz",
    "reconstruction.npz",
    "report.html",
}


def _without_times(metrics):
    return {name: value for name, value in metrics.items() if not name.startswith("seconds")}


def test_all_files_are_written_and_nothing_else(config, run, tmp_path) -> None:
    out, _ = run(config)
    assert {path.name for path in out.iterdir()} == FILES
    assert not (tmp_path / "out.partial").exists()


def test_metrics_have_their_flat_keys(config, run) -> None:
    _, metrics = run(config)
    for suffix in ("", "_fbp", "_tv"):
        for name in ("psnr", "ssim", "residual_over_noise", "seconds"):
            assert np.isfinite(metrics[f"{name}{suffix}"])
    assert metrics["network_calls"] == 3
    assert len(metrics) == 13


def test_residual_of_total_variation_is_the_noise(config, run) -> None:
    _, metrics = run(config)
    assert metrics["residual_over_noise_tv"] == pytest.approx(1, abs=0.05)


def test_same_config_gives_the_same_numbers(config, run) -> None:
    first, metrics = run(config)
    second, again = run(config, name="again")
    assert _without_times(metrics) == _without_times(again)
    for name in ("reconstruction.nii.gz", "config.yaml"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_seed_changes_the_measurement(config, run) -> None:
    _, metrics = run(config)
    _, other = run(config, "--set", "seed=1", name="other")
    assert metrics["psnr_fbp"] != other["psnr_fbp"]


def test_resolved_config_is_an_experiment(config, run) -> None:
    out, _ = run(config, "--set", "sampler.num_cg=3")
    resolved = yaml.safe_load((out / "config.yaml").read_text())
    assert parse_experiment(resolved).sampler.num_cg == 3
    assert resolved["baselines"] == ["fbp", "tv"]


def test_provenance_says_versions_units_and_noise(config, run) -> None:
    out, _ = run(config)
    provenance = json.loads((out / "provenance.json").read_text())
    assert provenance["units"]["name"] == "HU"
    assert provenance["seed"] == 0
    assert provenance["noise_sigma"] > 0
    assert {"commit", "versions", "device", "threads", "peak_memory_mb"} <= provenance.keys()


def test_finished_result_is_not_overwritten_unasked(config, run, refusal) -> None:
    out, _ = run(config, name="refused")
    before = (out / "metrics.json").read_bytes()
    assert "exists and is not empty; --overwrite replaces it" in refusal(config)
    assert (out / "metrics.json").read_bytes() == before
    run(config, "--overwrite", name="refused")


def test_foreign_folder_is_not_overwritten_at_all(config, refusal, tmp_path) -> None:
    (tmp_path / "refused").mkdir()
    (tmp_path / "refused" / "thesis.tex").write_text("years of work")
    assert "holds no earlier result" in refusal(config, "--overwrite")


def test_interrupted_run_resumes(config, run, write, tmp_path, monkeypatch, capsys) -> None:
    def interrupt(*_):
        raise KeyboardInterrupt

    out, partial = tmp_path / "out", tmp_path / "out.partial"
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "_sample", interrupt)
        assert main(["run", write(config), "--out", str(out)]) == 130
    assert "--resume" in capsys.readouterr().err
    stages = {path.stem for path in (partial / "stages").iterdir()}
    assert stages == {"baseline-fbp", "baseline-tv"}
    # what is there is neither thrown away unasked nor computed again
    assert main(["run", write(config), "--out", str(out)]) == 2
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "_baseline", interrupt)
        _, metrics = run(config, "--resume")
    _, whole = run(config, name="whole")
    assert _without_times(metrics) == _without_times(whole)
    assert not partial.exists()


def test_resume_refuses_another_configuration(config, write, tmp_path, monkeypatch, capsys) -> None:
    def fail(*_):
        raise ValueError("the disk is full")

    out = str(tmp_path / "out")
    monkeypatch.setattr(run_module, "_sample", fail)
    assert main(["run", write(config), "--out", out]) == 2
    assert "the disk is full; finished stages are kept in" in capsys.readouterr().err
    assert main(["run", write({**config, "seed": 1}), "--out", out, "--resume"]) == 2
    assert "--resume needs the same configuration, seed changed" in capsys.readouterr().err


def test_resume_of_a_finished_run_leaves_it(config, run, monkeypatch) -> None:
    out, metrics = run(config)
    monkeypatch.setattr(run_module, "_compute", None)
    assert run(config, "--resume") == (out, metrics)


def test_nifti_in_nifti_out(config, run, nifti_ct) -> None:
    out, _ = run(config)
    before, after = nib.load(nifti_ct), nib.load(out / "reconstruction.nii.gz")
    assert after.shape == (*before.shape[:2], 1)
    # one slice of three, in its place
    expected = before.affine.copy()
    expected[:, 3] += before.affine[:, 2]
    np.testing.assert_allclose(after.affine, expected, atol=1e-5)


def test_dicom_in_derived_dicom_out(config, run) -> None:
    out, _ = run({**config, "input": {"sample": "sts-044"}})
    source = read_dicom(sample_path("sts-044")).middle()
    written = read_dicom(out / "reconstruction-dicom")
    np.testing.assert_allclose(written.affine, source.affine, atol=1e-4)
    assert written.values.shape == source.values.shape
    assert written.unit == "HU"
    header = pydicom.dcmread(out / "reconstruction-dicom" / "slice-0001.dcm")
    assert header.ImageType[0] == "DERIVED"
    assert header.SeriesInstanceUID != source.template[0].SeriesInstanceUID


def test_output_lies_where_the_input_does(config, run, nifti_ct) -> None:
    # the data alone decide: many views, and a prior without weight
    config["operator"]["views"], config["baselines"] = 60, []
    out, _ = run(config, "--set", "sampler.regularization=1.0e-6", "sampler.num_cg=40")
    truth = nib.load(nifti_ct).get_fdata()[:, :, 1]
    found = nib.load(out / "reconstruction.nii.gz").get_fdata()[:, :, 0]
    assert np.corrcoef(truth.ravel(), found.ravel())[0, 1] > 0.95


@pytest.mark.parametrize(
    "operator",
    [
        {"kind": "ct-fan", "views": 8},
        {"kind": "inpainting"},
        {"kind": "inpainting", "mask": {"kind": "box", "side": 8}},
        {"kind": "blur", "sigma": 1},
        {"kind": "blur", "sigma": 1, "boundary": "reflective"},
        {"kind": "blur", "psf": {"kind": "motion", "length": 5, "angle": 0.5}},
        {"kind": "blur", "psf": {"kind": "motion", "length": 5, "persistence": 3}},
        {"kind": "blur", "psf": {"kind": "defocus", "radius": 2}, "boundary": "reflective"},
        {"kind": "downsample", "factor": 4},
    ],
)
def test_every_operator_runs_with_its_baselines(config, run, operator) -> None:
    _, metrics = run({**config, "operator": operator})
    assert np.isfinite(list(metrics.values())).all()


@pytest.mark.parametrize(
    "noise",
    [
        {"kind": "poisson", "counts": 100},
        {"kind": "poisson-gaussian", "counts": 100, "readout": 2},
        {"kind": "rician", "level": 0.02},
    ],
)
@pytest.mark.parametrize(
    ("operator", "sampler"), [("blur", "red-diff"), ("downsample", "diffpir"), ("blur", "dds")]
)
def test_every_noise_of_images_runs(config, run, noise, operator, sampler) -> None:
    config["operator"], config["noise"] = {"kind": operator}, noise
    if sampler != "red-diff":
        config["baselines"] = []
    _, metrics = run({**config, "sampler": {"kind": sampler, "num_steps": 3}})
    assert np.isfinite(list(metrics.values())).all()


@pytest.mark.parametrize("pattern", ["random", "equispaced"])
def test_mri_of_an_mr_image(config, run, pattern) -> None:
    config["input"] = {"sample": "head-t1", "grid": {"kind": "spacing", "pixel_mm": 8}}
    config["operator"] = {"kind": "mri-cartesian", "coils": 4, "pattern": pattern}
    out, metrics = run(config)
    assert metrics["residual_over_noise_cg_sense"] < 1.1
    scale = json.loads((out / "provenance.json").read_text())["units"]["scale"]
    assert 50 < scale < 200
    assert (out / "reconstruction-dicom").is_dir()


@pytest.mark.parametrize(
    "sampler",
    [
        {"kind": "diffpir", "num_steps": 3},
        {"kind": "dds", "num_steps": 3},
        {"kind": "red-diff", "num_steps": 3, "update": "adam"},
    ],
)
def test_every_sampler_runs(config, run, sampler) -> None:
    _, metrics = run({**config, "sampler": sampler, "baselines": []})
    assert metrics["network_calls"] == 3


def test_samples_have_a_spread(config, run) -> None:
    out, metrics = run({**config, "num_samples": 2, "baselines": []})
    with np.load(out / "reconstruction.npz") as arrays:
        assert arrays["std"].shape == arrays["reconstruction"].shape
        assert arrays["std"].max() > 0
    assert metrics["network_calls"] == 6
