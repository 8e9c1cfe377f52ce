"""What a training of a prior writes, and that it is of use."""

import json

import numpy as np
import prior_training_choices as small
import pytest
import torch
import yaml

from invdiff.priors import load_prior
from invdiff.rng import derive_generator
from invdiff.study.cli import main
from invdiff.study.prior_training import live
from invdiff.training import SliceSet, denoising_psnr, heldout_losses, objective_named

TRIAL = {
    "experiment": "inpainting",
    "set": {"sampler.num_steps": 2, "input.grid": "{kind: fill}"},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    pages, write = [], live.LiveReport._write

    def noted(report, step):
        write(report, step)
        pages.append((folder / "out.partial" / "live.html").read_text())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "_SECONDS", 0.0)
        patch.setattr(live.LiveReport, "_write", noted)
        values = small.choices(small.archive(folder), trial=TRIAL, target_loss=9.0)
        (folder / "tiny.yaml").write_text(yaml.safe_dump(values))
        words = ["train", str(folder / "tiny.yaml"), "--out", str(folder / "out")]
        assert main(words) == 0
    (folder / "out" / "pages.json").write_text(json.dumps(pages))
    return folder / "out"


@pytest.fixture
def metrics(finished):
    return json.loads((finished / "metrics.json").read_text())


def test_writes_all_that_belongs_to_a_run(finished, metrics):
    written = {path.name for path in finished.iterdir()}
    assert written >= {"config.yaml", "metrics.json", "report.html", "prior", "trial"}
    assert not {"stages", "live.html", "live.png"} & written
    assert not finished.with_name("out.partial").exists()
    for name in ("slices", "augmented", "loss", "length", "denoising", "samples"):
        assert (finished / f"{name}.png").is_file()
    assert all(np.isfinite(value) for value in metrics.values())
    with np.load(finished / "arrays.npz") as arrays:
        assert len(arrays["loss"]) == 4
        assert not any("/" in name for name in arrays)


def test_the_report_says_what_it_is_of(finished):
    page = (finished / "report.html").read_text()
    assert "Trained on 16 slices" in page
    assert "judged on 6 of other subjects" in page
    assert "below the 9 asked for" in page
    assert 'href="trial/report.html"' in page


def test_the_page_of_a_running_training(finished):
    pages = json.loads((finished / "pages.json").read_text())
    assert len(pages) == 4
    for step, page in enumerate(pages):
        assert f"Step {step + 1} of 4, loss" in page
        assert 'http-equiv="refresh"' in page
        assert "data:image/png;base64," in page


def test_the_card_has_numbers_and_subjects_of_the_run(finished, metrics):
    card = (finished / "prior" / "README.md").read_text()
    assert (
        "learnt from: 16 slices of 4 subjects, by number in the order of their names: 1, 2, 3, 4"
        in card
    )
    assert "held out: 8 slices of 2 subjects, by number in the order of their names: 5, 6" in card
    assert "No subject is on both sides." in card
    assert f"Loss {metrics['loss_heldout']:.4f};" in card
    for sigma in (0.1, 1.0):
        assert f"| {sigma:g} | {metrics[f'psnr_{sigma:g}']:.2f} |" in card
    assert "4 steps of 8 images" in card
    assert "nobody's" in card
    info = json.loads((finished / "prior" / "prior.json").read_text())
    assert info["heldout"] == {k: v for k, v in metrics.items() if not k.startswith("trial_")}
    assert info["split"]["heldout"]["subjects"] == [5, 6]


def test_the_kept_prior_has_the_reported_numbers(finished, metrics):
    prior = load_prior(finished / "prior")
    heldout = torch.from_numpy(small.discs()[16:]).float() / 127.5 - 1
    rows = np.linspace(0, 7, 6).round().astype(int)
    scores = denoising_psnr(
        prior, heldout[rows], [0.1, 1.0], generator=derive_generator(0, "denoising")
    )
    for sigma, psnr in zip((0.1, 1.0), scores.pooled, strict=True):
        # its weights are rounded to half precision
        assert float(psnr) == pytest.approx(metrics[f"psnr_{sigma:g}"], abs=0.02)


def test_the_held_out_loss_is_that_of_the_kept_prior(finished, metrics):
    network = load_prior(finished / "prior").network
    rows = np.linspace(0, 7, 6).round().astype(int)
    values = torch.from_numpy(small.discs()[16:][rows]).unsqueeze(1)
    slices, generator = SliceSet(values, ("",) * 6), derive_generator(0, "heldout-loss")
    draws = [
        heldout_losses(network, slices, objective_named("edm"), generator=generator)
        for _ in range(4)
    ]
    expected = float(torch.stack(draws).mean())
    # its weights are rounded to half precision
    assert metrics["loss_heldout"] == pytest.approx(expected, rel=1e-3)
    with np.load(finished / "arrays.npz") as arrays:
        assert metrics["loss_heldout"] == pytest.approx(arrays["length_losses"].min(), rel=1e-6)


@pytest.mark.usefixtures("undrawn")
def test_the_trial_can_be_run_again(finished, metrics, tmp_path):
    folder = finished / "trial"
    values = yaml.safe_load((folder / "config.yaml").read_text())
    assert values["prior"]["name"] == str(finished / "prior")
    assert ".partial" not in (folder / "report.html").read_text()
    words = ["run", str(folder / "config.yaml"), "--out", str(tmp_path / "again")]
    assert main(words) == 0
    again = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert again["psnr"] == pytest.approx(metrics["trial_psnr"])


def test_a_finished_training_is_left_as_it_is(finished, metrics):
    before = (finished / "prior" / "unet" / "diffusion_pytorch_model.safetensors").stat().st_mtime
    words = ["train", str(finished.parent / "tiny.yaml"), "--out", str(finished), "--resume"]
    assert main(words) == 0
    after = (finished / "prior" / "unet" / "diffusion_pytorch_model.safetensors").stat().st_mtime
    assert before == after


def test_a_split_without_subjects_says_so(tmp_path):
    values = small.choices(small.archive(tmp_path, subject=None), split={"heldout": [], "gap": 2})
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(values))
    assert main(["train", str(tmp_path / "tiny.yaml"), "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "of the last slices, which may be of the same people" in page
    card = (tmp_path / "out" / "prior" / "README.md").read_text()
    assert "Nobody knows the subjects" in card
    assert "may be of people it has learnt from" in card
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["by_subject"] == 0
