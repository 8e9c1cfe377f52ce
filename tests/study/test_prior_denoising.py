import json

import numpy as np
import pytest
import torch

from invdiff.priors import load_prior
from invdiff.rng import derive_generator
from invdiff.study.cli import main
from invdiff.study.load import parse_study
from invdiff.training import denoising_psnr

SIZE = 32


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("slices") / "slices.npz"
    x = np.random.default_rng(0).integers(256, size=(6, SIZE, SIZE), dtype=np.uint8)
    np.savez(path, x=x, subject=np.array(list("aabbcc")))
    return path


def choices(archive, prior_folder, **others):
    return {
        "kind": "prior-denoising",
        "title": "Denoising",
        "slices": {"path": str(archive)},
        "num_slices": 5,
        "priors": {"one": {"name": str(prior_folder)}, "two": {"name": str(prior_folder)}},
        "sigmas": [0.2, 1.0],
    } | others


def test_priors_are_judged_on_the_same_noise(archive, prior_folder, run_once):
    folder = run_once(choices(archive, prior_folder))
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["psnr_one_0.2"] == metrics["psnr_two_0.2"]
    values = np.load(archive)["x"][[0, 1, 2, 4, 5]]
    images = 2 * torch.from_numpy(values).float() / 255 - 1
    scores = denoising_psnr(
        load_prior(prior_folder),
        images,
        (0.2, 1.0),
        generator=derive_generator(0, "denoising"),
    )
    found = [metrics["psnr_one_0.2"], metrics["psnr_one_1"]]
    assert found == pytest.approx(scores.pooled.tolist(), abs=1e-4)
    assert metrics["num_subjects"] == 3
    assert (folder / "pictures.png").is_file()
    assert (folder / "denoising.png").is_file()


def test_refuses_names_that_are_no_names(archive, prior_folder):
    wrong = {"a/b": {"name": str(prior_folder)}}
    with pytest.raises(ValueError, match="priors: expected names without /, got 'a/b'"):
        parse_study(choices(archive, prior_folder, priors=wrong))


def test_refuses_slices_that_are_not_there(tmp_path, capsys):
    words = ["run", "prior_denoising", "--out", str(tmp_path / "out")]
    assert main([*words, "--set", "slices.path=nowhere", "fallback=null"]) == 2
    assert "slices: nowhere: no such file or folder" in capsys.readouterr().err
