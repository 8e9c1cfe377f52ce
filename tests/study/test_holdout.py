"""Held-out samples of measured k-space: what is drawn, and that no method sees it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.rng import derive_generator
from invdiff.study import baselines
from invdiff.study.build import build_problem
from invdiff.study.complex_image import body_region, imaginary_std, smooth_phase
from invdiff.study.holdout import HoldoutConfig, heldout_nrmse, noise_floor, split_samples
from invdiff.study.load import parse_experiment
from operators import CartesianMRI, GaussianNoise, birdcage_maps, calibration_region
from operators.fourier import fft

SHAPE = (32, 30)


@pytest.fixture(autouse=True)
def _few_weights(monkeypatch) -> None:
    monkeypatch.setattr(baselines, "_WEIGHTS", (0.25, 1.0))


@pytest.fixture
def mask(generator) -> torch.Tensor:
    """A third of k-space at random, and a full centre."""
    mask = torch.rand(SHAPE, generator=generator) < 0.4
    mask[8:24, 7:23] = True
    return mask


@pytest.fixture
def kspace(head, mask) -> np.ndarray:
    """Noisy k-space of four coils, of a head with a smooth phase."""
    image = torch.from_numpy(head).to(torch.complex64)
    rows = torch.linspace(-1, 1, SHAPE[0])[:, None]
    maps = birdcage_maps(SHAPE, 4) * torch.polar(torch.ones(SHAPE), (rows + 0.5).expand(SHAPE))
    noise = torch.randn(4, *SHAPE, dtype=torch.complex64, generator=derive_generator(0, "noise"))
    return ((fft(maps * image, (-2, -1)) + 2**0.5 * noise) * mask).numpy()


@pytest.fixture
def measured(config, kspace, tmp_path):
    """An experiment on that k-space, two tenths of which are held out."""
    path = tmp_path / "kspace.npy"
    np.save(path, kspace)
    holdout = {"test": 0.1, "validation": 0.1}
    config["input"] = {"path": str(path), "holdout": holdout}
    config["operator"] = {"kind": "mri-cartesian", "maps": "espirit", "image": "complex"}
    config["noise"] = {"kind": "gaussian", "sigma": 1.0}
    return {**config, "baselines": ["cg_sense", "l1_wavelet", "tv"], "num_samples": 2}


def _split(mask, seed=0, **shares):
    generator = derive_generator(seed, "holdout")
    return split_samples(
        mask, calibration_region(mask), HoldoutConfig(**shares), generator=generator
    )


def test_the_parts_are_disjoint_and_make_the_whole(mask) -> None:
    split = _split(mask, test=0.1, validation=0.2)
    assert sum(part.int() for part in split).equal(mask.int())
    total = int(mask.sum())
    assert (int(split.test.sum()), int(split.validation.sum())) == (
        round(0.1 * total),
        round(0.2 * total),
    )


def test_nothing_of_the_calibration_block_is_held_out(mask) -> None:
    split, region = _split(mask, test=0.2, validation=0.2), calibration_region(mask)
    assert mask[region].all()
    assert split.training[region].all()


def test_the_draw_depends_on_its_seed_alone(mask) -> None:
    first, again, other = _split(mask), _split(mask), _split(mask, seed=1)
    assert all(a.equal(b) for a, b in zip(first, again, strict=True))
    assert not first.test.equal(other.test)
    # what is set aside for validation doesn't move the test set
    assert first.test.equal(_split(mask, validation=0.0).test)


def test_more_than_there_is_outside_the_block(mask) -> None:
    with pytest.raises(ValueError, match="are outside the calibration block"):
        _split(mask, test=0.5, validation=0.4)


def test_noise_floor_is_the_error_of_the_true_image(generator) -> None:
    operator = CartesianMRI(torch.ones(64, 64, dtype=torch.bool), birdcage_maps((64, 64), 4))
    image = torch.randn(64, 64, dtype=torch.complex64, generator=generator)
    noise = GaussianNoise(0.3)
    likelihood = Likelihood(operator, noise, noise.sample(operator(image), generator=generator))
    # 32768 numbers: the root mean square of the noise is known to 0.4 %
    floor = noise_floor(likelihood, 0.3)
    assert float(heldout_nrmse(likelihood, image)) == pytest.approx(floor, rel=0.02)


def test_held_out_samples_enter_nothing(measured, kspace, tmp_path) -> None:
    """The whole problem is the same to the bit, whatever the held-out samples are."""
    noise = {"kind": "gaussian", "sigma": "estimate"}
    experiment = parse_experiment({**measured, "noise": noise})
    problem = build_problem(experiment, (32, 32))
    used = problem.coils.mask.numpy()
    held = (kspace != 0).any(0) & ~used
    assert held.sum() == 2 * round(0.1 * (kspace != 0).any(0).sum())
    np.save(tmp_path / "kspace.npy", np.where(held, 100 * kspace, kspace))
    other = build_problem(experiment, (32, 32))
    assert other.units == problem.units
    assert other.likelihood.noise == problem.likelihood.noise
    assert other.likelihood.y.equal(problem.likelihood.y)
    x = torch.ones(32, 32, dtype=torch.complex64)
    assert other.likelihood.operator(x).equal(problem.likelihood.operator(x))
    for name in ("imaginary_std", "support", "body"):
        assert getattr(other, name).equal(getattr(problem, name))
    assert not other.held_out.test.y.allclose(problem.held_out.test.y)


def test_validation_does_not_depend_on_the_test_samples(measured, kspace, tmp_path) -> None:
    """The choice of steps and weights is the same, whatever the test samples are."""
    experiment = parse_experiment(measured)
    problem = build_problem(experiment, (32, 32))
    radius = problem.held_out.radius
    before = [baselines.reconstruct_classically(n, problem) for n in ("cg_sense", "l1_wavelet")]
    split = _split(torch.from_numpy((kspace != 0).any(0)), test=0.1, validation=0.1)
    assert int(split.test.sum()) == len(radius)
    np.save(tmp_path / "kspace.npy", np.where(split.test.numpy(), 100 * kspace, kspace))
    other = build_problem(experiment, (32, 32))
    after = [baselines.reconstruct_classically(n, other) for n in ("cg_sense", "l1_wavelet")]
    for a, b in zip(before, after, strict=True):
        assert a.choice == b.choice
        assert a.image.equal(b.image)


@pytest.mark.usefixtures("undrawn")
def test_metrics_of_a_run(measured, run) -> None:
    out, metrics = run(measured)
    assert "psnr" not in metrics
    for suffix in ("", "_cg_sense", "_l1_wavelet", "_tv"):
        assert metrics["heldout_noise_floor"] * 0.8 < metrics[f"heldout_nrmse{suffix}"] < 1
        assert 0 <= metrics[f"energy_outside_support{suffix}"] < 1
    assert metrics["steps_cg_sense"] >= 1
    assert metrics["weight_over_noise_l1_wavelet"] > 0
    with np.load(out / "reconstruction.npz") as arrays:
        assert arrays["reconstruction"].dtype == np.float32
        num_test = len(arrays["heldout_radius"])
        assert arrays["heldout_residual_cg_sense"].shape == (num_test,)
        assert arrays["std"].min() >= 0
    provenance = json.loads((out / "provenance.json").read_text())
    assert "sigpy" in provenance["versions"]
    counts = provenance["kspace_locations"]
    assert counts["num_test"] == counts["num_validation"] == num_test


def test_report_shows_the_held_out_samples(measured, run) -> None:
    out, _ = run(measured)
    html = (out / "report.html").read_text()
    for words in ("Held-out NRMSE", "Energy outside the body", "are held out as a test"):
        assert words in html
    assert "PSNR (dB)" not in html
    assert (out / "heldout.png").stat().st_size > 1000


def test_missing_sigpy_is_one_line(measured, refusal, monkeypatch) -> None:
    monkeypatch.setattr(baselines, "find_spec", lambda name: None)
    assert refusal(measured) == ("baselines: l1_wavelet needs sigpy: pip install 'invdiff[sigpy]'")


def test_what_does_not_go_together(measured, config, refusal, nifti_ct) -> None:
    real = {**measured, "operator": {"kind": "mri-cartesian"}}
    assert refusal(real) == "baselines: l1_wavelet needs operator.image: complex"
    source = {"path": measured["input"]["path"]}
    assert "is chosen on input.holdout.validation" in refusal({**measured, "input": source})
    image = {"path": str(nifti_ct), "modality": "CT", "holdout": {}}
    scan = {"kind": "ct-parallel", "views": 8}
    ct = {**config, "input": image, "operator": scan, "baselines": []}
    assert refusal(ct) == "input.holdout: is for measured k-space"
    ct = {**config, "input": {"sample": "head-t1"}, "baselines": []}
    assert "operator.image: complex is for measured k-space" in refusal(ct)


def test_smooth_phase_is_found(generator) -> None:
    rows, columns = torch.meshgrid(*(torch.linspace(-1, 1, 64),) * 2, indexing="ij")
    phase = torch.polar(torch.ones(64, 64), 1.5 * rows - columns)
    disc = (torch.hypot(rows, columns) < 0.7).float()
    found = smooth_phase(disc * phase)[disc > 0]
    # in radians; only the edge of the disc is blurred
    assert (found / phase[disc > 0]).angle().abs().max() < 0.1


def test_imaginary_part_is_expected_where_it_is_seen() -> None:
    rows, columns = torch.meshgrid(*(torch.arange(64.0) - 32,) * 2, indexing="ij")
    patch = torch.exp(-((rows - 10) ** 2 + columns**2) / 2 / 8**2)
    std = imaginary_std(torch.complex(torch.ones(64, 64), 0.3 * patch))
    # the average over some pixels lowers the peak a little
    assert 0.24 < float(std[42, 32]) < 0.33
    # nothing is seen far away: 2 % of the magnitude and a floor of 0.3 %
    assert float(std[8, 32]) == pytest.approx(0.023, abs=0.003)


def test_body_has_no_holes_and_a_margin() -> None:
    ring = torch.zeros(32, 32)
    ring[10:22, 10:22] = 1
    ring[14:18, 14:18] = 0
    body = body_region(ring)
    assert body[10:22, 10:22].all()
    assert body[6, 16]
    assert not body[5, 16]
