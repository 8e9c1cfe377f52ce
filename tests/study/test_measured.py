from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
import torch

from invdiff.data import MU_WATER
from invdiff.study.build import build_problem
from invdiff.study.cli import main
from invdiff.study.field import Centre
from invdiff.study.kspace import estimate_sigma
from invdiff.study.load import parse_experiment
from invdiff.study.scores import score
from operators import ImageGrid, ParallelBeam2D, ParallelGeometry
from operators.fourier import fft
from operators.testing import check_operator

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def sinogram() -> np.ndarray:
    """Line integrals of a disc of water of 40 mm, over pixels of 2 mm."""
    grid = ImageGrid((32, 32), (2.0, 2.0))
    x, y = (torch.from_numpy(c).float() for c in grid.coordinates())
    disc = MU_WATER * (torch.hypot(x, y[:, None]) < 20).float()
    return ParallelBeam2D(grid, ParallelGeometry.covering(grid, 20))(disc).numpy()


@pytest.fixture
def measured(config, tmp_path):
    """A configuration whose input is an array."""

    def measured(values, **changes):
        np.save(tmp_path / "measured.npy", values)
        grid = {"kind": "spacing", "pixel_mm": 2.0}
        config["input"] = {"path": str(tmp_path / "measured.npy"), "grid": grid}
        config["operator"] = {"kind": "ct-parallel", "views": 20}
        return {**config, **changes}

    return measured


def _fbp_of_water(out) -> float:
    with np.load(out / "reconstruction.npz") as arrays:
        assert "truth" not in arrays
        return float(arrays["baseline_fbp"][12:20, 12:20].mean())


def test_sinogram_is_reconstructed_in_hu(measured, sinogram, run) -> None:
    out, metrics = run(measured(sinogram, noise={"kind": "gaussian", "sigma": 0.01}))
    assert "psnr" not in metrics
    assert _fbp_of_water(out) == pytest.approx(0, abs=60)


def test_counts_are_reconstructed_in_hu(measured, sinogram, run) -> None:
    counts = np.round(1e5 * np.exp(-sinogram))
    out, metrics = run(measured(counts, noise={"kind": "transmission", "photons": 1e5}))
    assert _fbp_of_water(out) == pytest.approx(0, abs=60)
    assert "residual_over_noise" in metrics


def test_measured_sinogram_needs_its_noise(measured, sinogram, refusal) -> None:
    assert refusal(measured(sinogram)) == "noise: the noise of measured data must be stated"


def test_measured_sinogram_needs_its_pixels(measured, sinogram, refusal) -> None:
    config = measured(sinogram, noise={"kind": "gaussian", "sigma": 0.01})
    del config["input"]["grid"]
    assert refusal(config).startswith("input.grid: a measured sinogram needs")


def test_sinogram_of_another_geometry(measured, sinogram, refusal) -> None:
    config = measured(sinogram[:10], noise={"kind": "gaussian", "sigma": 0.01})
    assert "ParallelBeam2D gives trailing shape (20, 46), got (10, 46)" in refusal(config)


def test_negative_counts(measured, sinogram, refusal) -> None:
    config = measured(-1 - sinogram, noise={"kind": "transmission", "photons": 100})
    assert "is negative" in refusal(config)


@pytest.fixture
def kspace(head) -> np.ndarray:
    """Noisy k-space of four coils, half of the outer lines left out, (coils, 32, 30)."""
    rng = np.random.default_rng(0)
    rows, columns = (np.linspace(-1, 1, n) for n in head.shape)
    coils = [np.exp(1j * a + np.cos(a) * rows[:, None] + np.sin(a) * columns) for a in range(4)]
    data = fft(torch.from_numpy(np.stack(coils) * head), (-2, -1)).numpy()
    data = data + rng.normal(size=data.shape) + 1j * rng.normal(size=data.shape)
    data[..., 1:10:2] = data[..., 20::2] = 0
    return data.astype(np.complex64)


@pytest.fixture
def mri(config, tmp_path):
    """A configuration whose input is a file of k-space."""

    def mri(path, **changes):
        config["input"] = {"path": str(path)}
        config["operator"] = {"kind": "mri-cartesian"}
        return {**config, "noise": {"kind": "gaussian", "sigma": 1.0}, **changes}

    return mri


def test_kspace_array(mri, kspace, run, tmp_path) -> None:
    np.save(tmp_path / "kspace.npy", kspace)
    out, metrics = run(mri(tmp_path / "kspace.npy"))
    assert "psnr" not in metrics
    with np.load(out / "reconstruction.npz") as arrays:
        assert arrays["reconstruction"].shape == (32, 30)
    # without the size of a pixel there is no place in the patient
    assert not (out / "reconstruction.nii.gz").exists()


def test_fastmri_file_with_reference(mri, kspace, head, run, tmp_path) -> None:
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace[None]
        file["reconstruction_rss"] = head[None]
    _, metrics = run(mri(path))
    assert np.isfinite(metrics["psnr"])


def test_kspace_larger_than_the_prior_loses_resolution(mri, kspace, run, tmp_path) -> None:
    padded = np.pad(kspace, ((0, 0), (8, 8), (3, 3)))
    np.save(tmp_path / "kspace.npy", padded)
    out, _ = run(mri(tmp_path / "kspace.npy", baselines=["cg_sense"]))
    with np.load(out / "reconstruction.npz") as arrays:
        assert arrays["reconstruction"].shape == (32, 32)


def test_noise_of_kspace_is_stated_or_estimated(mri, kspace, run, refusal, tmp_path) -> None:
    np.save(tmp_path / "kspace.npy", kspace)
    assert refusal(mri(tmp_path / "kspace.npy", noise=None)).startswith("noise: measured k-space")
    noise = {"kind": "gaussian", "sigma": "estimate"}
    out, _ = run(mri(tmp_path / "kspace.npy", noise=noise, baselines=[]))
    sigma = json.loads((out / "provenance.json").read_text())["noise_sigma"]
    assert 0.9 < sigma < 10


def test_estimate_of_pure_noise(generator) -> None:
    mask = torch.ones(64, 64, dtype=torch.bool)
    y = 3 * torch.view_as_complex(torch.randn(4, 64 * 64, 2, generator=generator))
    assert estimate_sigma(y, mask) == pytest.approx(3, rel=0.05)


def test_kspace_for_another_operator(mri, kspace, refusal, tmp_path) -> None:
    np.save(tmp_path / "kspace.npy", kspace)
    config = mri(tmp_path / "kspace.npy", operator={"kind": "blur"})
    assert refusal(config).startswith("operator.kind: the input is k-space")


def test_energy_outside_counts_delivered_pixels_alone(mri, kspace, tmp_path) -> None:
    np.save(tmp_path / "kspace.npy", kspace)
    experiment = parse_experiment(mri(tmp_path / "kspace.npy", baselines=[]))
    problem = build_problem(experiment, (48, 48))
    image = torch.full((48, 48), 1e3)
    image[problem.frame] = problem.body[problem.frame].float()
    assert score(problem, {"": image})["energy_outside_support"] == 0
    image[problem.frame] = 1.0
    outside = 1 - problem.body[problem.frame].float().mean()
    assert 0 < outside < 1
    assert score(problem, {"": image})["energy_outside_support"] == pytest.approx(float(outside))


@pytest.mark.parametrize(
    ("stated", "keys"),
    [
        ({"coils": 8}, "operator.coils"),
        ({"coils": 4, "acceleration": 4.0}, "operator.acceleration, operator.coils"),
        ({"pattern": "equispaced"}, "operator.pattern"),
    ],
)
def test_options_of_a_simulation_are_refused_for_kspace(
    mri, kspace, refusal, tmp_path, stated, keys
) -> None:
    np.save(tmp_path / "kspace.npy", kspace)
    config = mri(tmp_path / "kspace.npy")
    config["operator"] |= stated
    assert refusal(config) == (
        f"{keys}: of a simulated scan only; kspace.npy, middle slice is measured k-space, with "
        "its own lines and coils"
    )


def test_kspace_has_its_own_pixels(mri, kspace, refusal, tmp_path) -> None:
    np.save(tmp_path / "kspace.npy", kspace)
    config = mri(tmp_path / "kspace.npy")
    config["input"]["grid"] = {"kind": "spacing", "pixel_mm": 2.0}
    assert refusal(config) == "input.grid: measured k-space has its own pixels; leave it out"


def test_report_names_no_simulation_and_its_settings_run_again(mri, kspace, run, tmp_path) -> None:
    np.save(tmp_path / "kspace.npy", kspace)
    out, metrics = run(mri(tmp_path / "kspace.npy", baselines=[]))
    html = (out / "report.html").read_text()
    assert "maps: low-resolution" in html
    assert "acceleration" not in html
    assert "coils: 8" not in html
    again = tmp_path / "again"
    assert main(["run", str(out / "config.yaml"), "--out", str(again)]) == 0
    found = json.loads((again / "metrics.json").read_text())
    assert found["residual_over_noise"] == metrics["residual_over_noise"]


def test_kspace_without_an_axis_of_coils(mri, kspace, refusal, tmp_path) -> None:
    np.save(tmp_path / "kspace.npy", kspace[0])
    line = refusal(mri(tmp_path / "kspace.npy"))
    assert line.endswith(
        "kspace.npy: expected k-space with an axis of coils, got complex64 of shape (32, 30): add "
        "the axis, (1, 32, 30) for a single coil"
    )


@pytest.mark.parametrize("complex_valued", [False, True])
@pytest.mark.parametrize("shape", [(5, 6), (4, 7), (8, 8)])
def test_centre_has_an_exact_adjoint(shape, complex_valued, generator) -> None:
    operator = Centre((8, 8), shape, complex_valued=complex_valued)
    check_operator(operator, generator=generator)
    assert operator.frame[0].start == 4 - shape[0] // 2


def test_array_is_an_image_for_image_operators(config, run, head, tmp_path) -> None:
    np.save(tmp_path / "image.npy", head)
    config["input"] = {"path": str(tmp_path / "image.npy")}
    config["operator"] = {"kind": "inpainting"}
    out, metrics = run(config)
    assert metrics["psnr_tv"] > 10
    assert not any(out.glob("*.nii.gz"))
