from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from invdiff.data import Image, sample_path
from invdiff.study.cli import main
from invdiff.study.load import parse_experiment
from invdiff.study.sampling import KINDS
from invdiff.study.units import check_hu


def test_misspelt_key_is_named_with_its_path(config, refusal) -> None:
    config["operator"] = {"kind": "ct-parallel", "vievs": 8}
    assert "operator.vievs: unknown key, did you mean views?" in refusal(config)


def test_top_level_misspelling(config, refusal) -> None:
    assert refusal({**config, "smapler": {}}) == "smapler: unknown key, did you mean sampler?"


def test_missing_key(config, refusal) -> None:
    config["operator"] = {"kind": "ct-parallel"}
    assert refusal(config) == "operator.views: missing"


@pytest.mark.parametrize("views", ["many", 0, -3, 2.5])
def test_wrong_value_is_shown(config, refusal, views) -> None:
    config["operator"]["views"] = views
    line = refusal(config)
    assert line.startswith("operator.views: ")
    assert repr(views) in line


@pytest.mark.parametrize("kind", ["gaussian", "rician"])
def test_noise_above_its_reference(config, refusal, kind) -> None:
    noise = f"noise={{kind: {kind}, level: 5}}"
    line = "noise.level: expected at most 1 (100 % of its reference), got 5"
    assert refusal(config, "--set", noise) == line
    assert parse_experiment(config, ["noise.level=1"]).noise.level == 1


@pytest.mark.parametrize("key", ["level", "sigma"])
@pytest.mark.parametrize("value", [0, -1, ".nan"])
def test_noise_level_that_is_not_positive(config, refusal, key, value) -> None:
    line = refusal(config, "--set", f"noise={{kind: gaussian, {key}: {value}}}")
    assert line.startswith(f"noise.{key}: ")


def test_level_and_sigma_together(config, refusal) -> None:
    config["noise"] = {"kind": "gaussian", "level": 0.1, "sigma": 0.1}
    assert refusal(config) == "noise: give a level or a sigma, not both"


def test_unknown_kind(config, refusal) -> None:
    config["sampler"] = {"kind": "red_diff"}
    kinds = ", ".join(f"'{kind}'" for kind in KINDS)
    expected = f"sampler.kind: expected one of {kinds}, got 'red_diff'"
    assert refusal(config) == f"{expected}, did you mean red-diff?"
    config["sampler"] = {"kind": "nothing"}
    assert refusal(config).endswith("got 'nothing'")


def test_sampler_numbers_that_do_not_go_together(config, refusal) -> None:
    config["sampler"] |= {"sigma_max": 0.1, "sigma_min": 0.2}
    assert refusal(config).startswith("sampler: ")


def test_noise_that_does_not_go_with_the_operator(config, refusal) -> None:
    config["operator"] = {"kind": "inpainting"}
    config["noise"] = {"kind": "transmission", "photons": 100}
    assert "transmission is for CT" in refusal(config)


@pytest.mark.parametrize("kind", ["poisson-gaussian", "rician"])
def test_noise_of_images_is_not_for_kspace(config, refusal, kind) -> None:
    levels = {"rician": {"level": 0.1}, "poisson-gaussian": {"counts": 10, "readout": 1}}
    config["operator"] = {"kind": "mri-cartesian"}
    config["noise"] = {"kind": kind, **levels[kind]}
    assert f"{kind} is for real measurements, not for k-space" in refusal(config)


def test_rician_noise_is_not_for_sinograms(config, refusal) -> None:
    config["noise"] = {"kind": "rician", "level": 0.1}
    assert "rician is for magnitude images, not for sinograms" in refusal(config)


def test_sigma_and_psf_together(config, refusal) -> None:
    config["operator"] = {"kind": "blur", "sigma": 1, "psf": {"kind": "defocus"}}
    assert refusal(config) == "operator: give a sigma or a psf, not both"


def test_wrong_sigma_of_a_blur(config, refusal) -> None:
    config["operator"] = {"kind": "blur", "sigma": -1}
    assert refusal(config).startswith("operator.psf.sigma: ")


@pytest.mark.parametrize(
    ("psf", "key"),
    [
        ({"kind": "motion", "length": 40}, "length"),
        ({"kind": "motion", "length": 40, "persistence": 5}, "length"),
        ({"kind": "defocus", "radius": 20}, "radius"),
    ],
)
def test_psf_larger_than_the_image(config, refusal, psf, key) -> None:
    config["operator"] = {"kind": "blur", "psf": psf}
    assert refusal(config).startswith(f"operator.psf.{key}: the image is (32, 32), got ")


def test_baseline_of_another_operator(config, refusal) -> None:
    config["baselines"] = ["zero_filled"]
    assert refusal(config) == "baselines: zero_filled does not invert ct-parallel"


def test_set_of_an_unknown_key(config, refusal) -> None:
    line = refusal(config, "--set", "sampler.steps=3", "seed=2")
    assert line.startswith("sampler.steps: unknown key")


def test_set_without_a_value(config, refusal) -> None:
    assert refusal(config, "--set", "seed").startswith("--set seed: expected key=value")


def test_prior_of_another_size(config, refusal) -> None:
    config["input"]["grid"] = {"kind": "fill", "size": 64}
    assert refusal(config).startswith("input.grid.size: got 64, the prior ")


def test_unknown_prior(config, refusal) -> None:
    config["prior"]["name"] = "ct-512"
    assert refusal(config).startswith("prior: expected one of brain-mr-256, ct-256 or a folder")
    config["prior"]["name"] = "ct256"
    assert refusal(config).endswith("got ct256, did you mean ct-256?")


def test_nan_sinogram(config, refusal, tmp_path: Path) -> None:
    np.save(tmp_path / "sinogram.npy", np.full((8, 46), np.nan, np.float32))
    config["input"] = {"path": str(tmp_path / "sinogram.npy")}
    assert "sinogram.npy" in refusal(config)


def test_truncated_dicom(config, refusal, tmp_path: Path) -> None:
    whole = (sample_path("sts-044") / "1.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[: len(whole) // 2])
    config["input"] = {"path": str(tmp_path / "cut.dcm")}
    assert "cut.dcm" in refusal(config)


def test_mixed_series(config, refusal, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name in ("sts-044", "head-t1"):
        shutil.copy(sample_path(name) / "1.dcm", folder / f"{name}.dcm")
    config["input"] = {"path": str(folder)}
    assert "mixed" in refusal(config)


def test_mr_image_for_a_ct_scan(config, refusal) -> None:
    config["input"] = {"sample": "head-t1"}
    assert refusal(config).startswith("operator.kind: ct-parallel needs a CT in HU")


def test_slice_past_the_end(config, refusal) -> None:
    config["input"]["slice"] = 3
    assert refusal(config) == "input.slice: expected 0 to 2, got 3"


def test_factor_that_does_not_divide(config, refusal) -> None:
    config["operator"] = {"kind": "downsample", "factor": 5}
    assert "Downsample" in refusal(config)


def test_no_such_experiment(capsys, tmp_path: Path) -> None:
    assert main(["run", "ct_spars_view", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("invdiff: error: ct_spars_view: no such file")


def test_broken_yaml(capsys, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("input: {path: x\noperator")
    assert main(["run", str(tmp_path / "broken.yaml"), "--out", str(tmp_path / "out")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_device_that_is_not_there(config, refusal) -> None:
    assert refusal(config, "--device", "cudo").startswith("device: ")


def test_more_views_than_fit_into_memory(config, refusal) -> None:
    config["operator"]["views"] = 10**11
    assert refusal(config).startswith("this needs more memory than there is")


def test_experiment_with_a_near_name(capsys, tmp_path: Path) -> None:
    assert main(["run", "ct_sparseview", "--out", str(tmp_path / "out")]) == 2
    line = "ct_sparseview: no such file or experiment, did you mean ct_sparse_view?"
    assert capsys.readouterr().err == f"invdiff: error: {line}\n"
    assert main(["run", "nothing", "--out", str(tmp_path / "out")]) == 2
    assert "none of the experiments boundary_toy, " in capsys.readouterr().err


def test_study_with_a_near_kind(refusal) -> None:
    assert refusal({"kind": "volumes"}).endswith("got 'volumes', did you mean volume?")


def test_ct_that_is_not_in_hu(config, refusal, tmp_path: Path) -> None:
    path = tmp_path / "mu.nii.gz"
    values = np.linspace(0, 0.05, 40 * 36 * 3, dtype=np.float32).reshape(40, 36, 3)
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    config["input"]["path"] = str(path)
    assert refusal(config) == (
        "mu.nii.gz, middle slice: values from 0 to 0.05, a CT must be in HU (air -1000, water 0): "
        "attenuation mu in 1/mm becomes 1000 (mu / 0.0193 - 1)"
    )


def test_ct_that_is_air_alone_is_in_hu() -> None:
    air = np.full((1, 4, 4), -1000, np.float32)
    check_hu(Image(air, np.eye(4), "CT", "HU"), "air")
