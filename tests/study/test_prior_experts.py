"""The study of prior ensembles: exact parts, each way of use, its report and refusals."""

import json
import logging

import numpy as np
import pytest
import torch

from invdiff.priors import GaussianPrior
from invdiff.study.laboratory.image_tasks import small_slices
from invdiff.study.laboratory.prior_experts import PriorExperts
from invdiff.study.laboratory.prior_experts_exact import DISTANCES, LEVELS, exact_check
from invdiff.study.laboratory.prior_experts_report import summary_text
from invdiff.study.laboratory.prior_experts_runs import WAYS, Experts, denoising, reconstruction
from invdiff.study.laboratory.prior_experts_slices import ExpertConfig
from invdiff.study.prior import fast_dtype


def _quick(prior, **changes):
    return {
        "kind": "prior-experts",
        "title": "quick",
        "experts": {
            "ct": {"prior": {"name": str(prior)}, "sample": "sts-044", "task": "ct"},
            "mr": {"prior": {"name": str(prior)}, "sample": "head-t1", "task": "random"},
        },
        "size": 32,
        "router": {"num_steps": 4, "batch_size": 4, "width": 8, "depth": 2},
        "sigmas": [0.1, 1.0],
        "red_diff_steps": 2,
        "num_points": 50,
        **changes,
    }


def _experts(*, sure):
    """Two Gaussians of 8 x 8 images, one of bright and one of dark ones, and a router."""
    priors = {}
    for name, mean in (("bright", 0.8), ("dark", -0.8)):
        priors[name] = GaussianPrior(torch.full((8, 8), mean), 0.01, data_range=(-1.0, 1.0))

    def router(x, sigma):
        return torch.stack([sure * x.mean((-2, -1)), -sure * x.mean((-2, -1))], -1)

    return Experts(priors, router)


@pytest.fixture(scope="module")
def out(run_once, prior_folder):
    return run_once(_quick(prior_folder))


def test_a_run_keeps_its_numbers_pictures_and_router(out):
    metrics = json.loads((out / "metrics.json").read_text())
    assert not metrics["by_subject"]
    assert metrics["identity"] < 1e-12
    for name in ("ct", "mr"):
        calls = [metrics[f"calls_{way}_{name}"] for way in WAYS]
        assert calls == [2, 2, 4, 2]
        for way in WAYS:
            assert np.isfinite(metrics[f"denoising_{way}_{name}"]).all()
        right = metrics[f"red_diff_right_{name}"]
        # the networks are the same one; conjugate gradients blow up the rounding of their mean
        assert metrics[f"red_diff_wrong_{name}"] == metrics[f"red_diff_top_{name}"] == right
        assert metrics[f"red_diff_routed_{name}"] == pytest.approx(right, abs=0.1)
    assert len(metrics["accuracy"]) == len(metrics["calibration_error"]) == 2
    figures = ("routing", "pictures", "denoising", "truncation")
    assert all((out / f"{name}.png").is_file() for name in figures)
    assert metrics["calls_routed_ct"] == 4
    page = (out / "report.html").read_text()
    assert "people whose other slices" in page
    assert "routed, likeliest alone" in page


@pytest.mark.parametrize("top", [None, 1])
def test_what_it_writes_is_a_prior_that_experiments_name(out, config, run, undrawn, top):
    config["prior"] = {"name": str(out / "routed"), "dtype": "auto"}
    config |= {"operator": {"kind": "mri-cartesian", "acceleration": 2}}
    config["input"] = {"sample": "head-t1"}
    words = () if top is None else ("--set", f"prior.top={top}")
    folder, metrics = run(config, *words)
    assert metrics["network_calls"] == config["sampler"]["num_steps"] * (top or 2)
    prior = json.loads((folder / "provenance.json").read_text())["prior"]
    assert prior["title"] == "quick"
    assert prior["experts"] == ["ct", "mr"]
    assert prior["dtype"] == fast_dtype("cpu")
    assert prior["top"] == top
    with np.load(folder / "reconstruction.npz") as stored:
        assert max(stored["reconstruction"].shape) == 32


def test_experts_must_fit_the_folder_of_a_router(out, prior_folder, refusal):
    values = _quick(prior_folder)
    values["experts"]["ct"]["prior"] = {"name": str(out / "routed")}
    assert "experts.ct.prior.name: " in refusal(values)
    values["experts"]["ct"]["prior"] = {"name": str(prior_folder), "label": 1}
    assert "experts.ct.prior.label: " in refusal(values)


def test_the_exact_part_keeps_its_identity_and_its_bounds():
    metrics = exact_check(200, 0)
    assert metrics["identity"] < 1e-12
    for top in (1, 2):
        errors, bounds = np.array(metrics[f"top_{top}"]), np.array(metrics[f"bound_{top}"])
        assert errors.shape == (len(DISTANCES), len(LEVELS))
        assert (errors <= bounds + 1e-12).all()
        # what cannot be told apart must not be left out
        assert errors[-1, 0] < 1e-12 < 0.01 < errors[-1, -1]
    assert (np.array(metrics["top_2"]) <= np.array(metrics["top_1"]) + 1e-12).all()


def test_a_sure_router_denoises_as_the_right_expert(generator):
    clean = 0.8 + 0.1 * torch.randn(3, 8, 8, generator=generator)
    found = denoising(_experts(sure=1e3), "bright", clean, (0.1, 1.0), 0)
    assert found["psnr_right"].shape == (2, 3)
    assert found["probability"] == pytest.approx(1)
    np.testing.assert_allclose(found["psnr_routed"], found["psnr_right"], rtol=1e-5)
    np.testing.assert_allclose(found["psnr_top"], found["psnr_right"], rtol=1e-5)
    assert (found["psnr_wrong"] < found["psnr_right"] - 3).all()
    unsure = denoising(_experts(sure=0.0), "bright", clean, (1.0,), 0)
    assert unsure["probability"] == pytest.approx(0.5)
    assert (unsure["psnr_wrong"] < unsure["psnr_routed"]).all()
    assert (unsure["psnr_routed"] < unsure["psnr_right"]).all()


def test_reconstructions_differ_by_the_prior_alone(generator):
    clean = -0.8 + 0.1 * torch.randn(8, 8, generator=generator)
    found = reconstruction(
        _experts(sure=1e3), "dark", "random", clean, num_steps=10, noise_level=0.05, seed=0
    )
    right, wrong, routed, top = found["psnr"]
    assert wrong < right - 3
    assert routed == pytest.approx(right, abs=1e-3)
    assert top == pytest.approx(right, abs=1e-3)
    assert np.isnan(found["measurement"]).any()


def test_slices_are_those_of_the_archive_and_of_somebody_else(prior_folder, tmp_path, caplog):
    values = np.arange(10, dtype=np.uint8)[:, None, None] * np.ones((10, 256, 256), np.uint8)
    np.savez(tmp_path / "slices.npz", x=values)
    config = ExpertConfig(
        prior={"name": str(prior_folder)}, slices=str(tmp_path / "slices.npz"), sample="head-t1",
        task="blur",
    )  # fmt: skip
    found = config.read(32, 4)
    assert found.by_subject
    grey = (found.training[:, 0, 0] + 1) / 2 * 255
    torch.testing.assert_close(grey, torch.tensor([0.0, 3, 6, 9]))
    sample = 2 * small_slices("head-t1", 32).float() - 1
    assert torch.equal(found.heldout, sample)
    with caplog.at_level(logging.WARNING):
        alone = config.model_copy(update={"slices": "absent.npz"}).read(32, 4)
    assert "one person" in caplog.text
    assert not alone.by_subject
    assert torch.equal(alone.training, sample[0::2])
    assert torch.equal(alone.heldout, sample[1::2])


def test_an_archive_of_other_slices_is_refused(prior_folder, tmp_path):
    np.savez(tmp_path / "slices.npz", x=np.zeros((3, 80, 80), np.uint8))
    config = ExpertConfig(
        prior={"name": str(prior_folder)}, slices=str(tmp_path / "slices.npz"), sample="head-t1",
        task="blur",
    )  # fmt: skip
    with pytest.raises(ValueError, match="80 is no multiple of 32"):
        config.read(32, 4)


def test_the_summary_follows_the_numbers():
    metrics = {
        "accuracy": [1.0, 0.995, 0.7], "by_subject": True, "identity": 1e-15,
        "red_diff_right_a": 30.0, "red_diff_wrong_a": 27.5, "red_diff_routed_a": 29.75,
    }  # fmt: skip
    text = summary_text(metrics, ["a"], (0.1, 1.0, 10.0))
    assert "sigma = 0.1, 1." in text
    assert "2.50 dB (a) with the wrong one" in text
    assert "0.25 dB (a) with all priors" in text
    assert "nothing was trained on" in text
    never = summary_text({**metrics, "accuracy": [0.5] * 3}, ["a"], (0.1, 1.0, 10.0))
    assert "right in 50.0 % of the cases at worst" in never


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"size": 100}, "divisor of 256"),
        ({"shown": -1}, "shown"),
        ({"experts": {}}, "2 to 4 experts, got 0"),
    ],
)
def test_refuses(changes, reason, prior_folder):
    with pytest.raises(ValueError, match=reason):
        PriorExperts(**_quick(prior_folder, **changes))


def test_a_slice_that_is_not_there_is_refused(prior_folder, refusal):
    assert "shown: expected a held-out slice" in refusal(_quick(prior_folder, shown=2))
