"""Experiments with a prior of two channels, from the training on k-space to a reconstruction."""

import json

import numpy as np
import prior_training_choices as small
import pytest
import torch

from invdiff.study.build import build_problem
from invdiff.study.cli import main
from invdiff.study.load import parse_experiment
from operators.fourier import fft

pytestmark = pytest.mark.usefixtures("undrawn")
SIDE = 32
SIGMA = 0.01


def kspace(count=1):
    """Fully sampled k-space of discs with a band of another phase, in two smooth coils."""
    rows, columns = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    radii = np.linspace(0.5, 0.9, count)[:, None, None]
    discs = np.where(np.hypot(rows, columns) < radii, 1.0, 0) * np.exp(1j * (np.abs(rows) < 0.2))
    maps = np.stack([1 + 0.3 * rows, 1 - 0.3 * rows])
    data = fft(torch.from_numpy(discs[:, None] * maps), (-2, -1))
    noise = torch.randn(
        *data.shape, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    return (data + SIGMA * torch.view_as_complex(noise)).numpy().astype(np.complex64)


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    """Trained on the k-space of eight slices."""
    folder = tmp_path_factory.mktemp("complex")
    (folder / "scans").mkdir()
    for k, slices in enumerate(np.split(kspace(8), 4)):
        np.save(folder / "scans" / f"p{k}.npy", slices)
    values = small.choices(
        folder / "scans",
        slices={"complex": True, "size": SIDE},
        split={"heldout": ["p3"]},
        objective={"kind": "sample"},
        augmentation={"phase": 0.2},
    )
    (folder / "tiny.yaml").write_text(json.dumps(values))
    assert main(["train", str(folder / "tiny.yaml"), "--out", str(folder / "out")]) == 0
    return folder / "out" / "prior"


@pytest.fixture
def measured(prior, tmp_path):
    """A reconstruction of a slice with every second line left out beside the centre."""
    data = kspace()[0]
    data[:, 1:10:2] = data[:, 23::2] = 0
    np.save(tmp_path / "scan.npy", data)
    return {
        "input": {"path": str(tmp_path / "scan.npy")},
        "operator": {"kind": "mri-cartesian", "image": "complex"},
        "noise": {"kind": "gaussian", "sigma": SIGMA},
        "prior": {"name": str(prior)},
        "sampler": {"kind": "red-diff", "num_steps": 3, "num_cg": 2},
        "baselines": ["zero_filled"],
    }


def test_measured_kspace_is_reconstructed_with_it(measured, run):
    out, metrics = run(measured)
    assert metrics["network_calls"] == 3
    with np.load(out / "reconstruction.npz") as arrays:
        assert arrays["reconstruction"].shape == (SIDE, SIDE)
        assert np.isfinite(arrays["reconstruction"]).all()


class Shrinking:
    """The prior of white Gaussian channels, in its own range."""

    data_range = (-1.0, 1.0)
    image_shape = (2, SIDE, SIDE)

    def __call__(self, x, sigma):
        return x * 0.25 / (0.25 + sigma**2)


def test_a_problem_takes_it_in_its_own_units(measured, generator):
    problem = build_problem(parse_experiment(measured), Shrinking.image_shape)
    z = torch.complex(*torch.randn(2, SIDE, SIDE, generator=generator))
    denoiser = problem.denoiser(Shrinking())
    assert denoiser.data_range == (problem.units.low, problem.units.high)
    mean = denoiser(problem.units.high * z, problem.units.high * torch.tensor(0.5))
    expected = torch.where(problem.support, problem.units.high * z / 2, 0)
    torch.testing.assert_close(mean, expected)


@pytest.mark.parametrize(
    "operator", [{"kind": "mri-cartesian"}, {"kind": "inpainting"}, {"kind": "blur"}]
)
def test_real_images_are_not_for_it(measured, operator, refusal):
    line = refusal({**measured, "operator": operator, "baselines": []})
    assert line == (
        "prior.name: a prior of complex images (two channels) is for mri-cartesian with "
        "operator.image: complex"
    )
