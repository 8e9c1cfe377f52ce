"""Slices of measured k-space."""

import h5py
import ismrmrd
import numpy as np
import pytest
import torch

from invdiff.data import read_scan, sample_path
from invdiff.study.build import build_problem
from invdiff.study.kspace import coarse_image
from invdiff.study.load import parse_experiment
from invdiff.study.slices import SliceSource
from operators import birdcage_maps
from operators.fourier import fft

SIDE = 32


def phantom():
    """Two slices: a disc with a dark hole, and its double."""
    rows, columns = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    disc = np.where(np.hypot(rows, columns) < 0.8, 1.0, 0.0)
    disc[np.hypot(rows - 0.2, columns) < 0.25] = 0.4
    return np.stack([disc, 2 * disc])


@pytest.fixture
def kspace():
    """Fully sampled, of four coils and a phase that runs across the image."""
    phase = torch.polar(torch.ones(SIDE, SIDE), torch.linspace(0, 2, SIDE).expand(SIDE, SIDE))
    images = torch.from_numpy(phantom()).float() * phase
    return fft(images[:, None] * birdcage_maps((SIDE, SIDE), 4), (-2, -1)).numpy()


def shares(slices):
    return ((slices.images() + 1) / 2)[:, 0].numpy()


def test_magnitudes_are_root_sums_of_squares(kspace, tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["kspace"] = kspace
    slices = SliceSource(path=str(tmp_path / "x.h5"), size=SIDE).read()
    assert slices.values.dtype == torch.uint8
    assert slices.subjects == ("x", "x")
    # the maps of the phantom have a root sum of squares of 1
    expected = phantom()[0] / phantom()[0].max()
    np.testing.assert_allclose(shares(slices), [expected] * 2, atol=0.01)


@pytest.mark.parametrize("is_complex", [True, False])
def test_single_coil_files_and_small_fields(kspace, tmp_path, is_complex):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["kspace"] = fft(torch.from_numpy(phantom()).to(torch.complex64), (-2, -1)).numpy()
    slices = SliceSource(path=str(tmp_path / "x.h5"), size=SIDE + 8, complex=is_complex).read()
    assert slices.values.shape == (2, 1 + is_complex, SIDE + 8, SIDE + 8)
    middle = slices.values[:, :, 4:-4, 4:-4].float()
    magnitude = middle.norm(dim=1) if is_complex else middle[:, 0] / 255
    expected = torch.from_numpy(phantom() / phantom().max((1, 2), keepdims=True))
    assert (magnitude - expected).abs().max() < 0.02
    assert slices.values[:, :, :4].abs().max() == 0


def test_oversampling_of_the_readout_is_removed(kspace, tmp_path):
    wide = torch.zeros(2, 2 * SIDE, SIDE)
    wide[:, SIDE // 2 : -SIDE // 2] = torch.from_numpy(phantom())
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["kspace"] = fft(wide.to(torch.complex64), (-2, -1)).numpy()
        file["reconstruction_esc"] = phantom().astype(np.float32)
    slices = SliceSource(path=str(tmp_path / "x.h5"), size=SIDE).read()
    np.testing.assert_allclose(shares(slices), [phantom()[0]] * 2, atol=0.01)


def test_complex_slices_keep_what_phase_is_not_smooth(kspace, tmp_path):
    np.save(tmp_path / "x.npy", kspace)
    slices = SliceSource(path=str(tmp_path / "x.npy"), size=SIDE, complex=True).read()
    assert slices.values.dtype == torch.float16
    real, imaginary = slices.images().unbind(1)
    magnitude = torch.hypot(real, imaginary)
    inside = torch.from_numpy(phantom()[0] > 0)
    assert magnitude.max() <= 1 + 1e-3
    assert (magnitude[:, inside] > 0.3).all()
    # the phase of the phantom is smooth, so all of it is turned to 0
    assert imaginary.abs().max() < 0.15
    assert real[:, inside].min() > 0.25


def test_a_complex_slice_is_what_a_run_starts_from(tmp_path):
    size, kspace = 96, read_sample()
    np.save(tmp_path / "x.npy", kspace)
    experiment = parse_experiment(
        {
            "name": "one",
            "input": {"path": str(tmp_path / "x.npy")},
            "operator": {"kind": "mri-cartesian", "image": "complex"},
            "noise": {"kind": "gaussian", "sigma": "estimate"},
            "prior": {"name": "any"},
            "sampler": {"kind": "red-diff"},
        }
    )
    expected = coarse_image(build_problem(experiment, (size, size)).likelihood)
    expected = expected / expected.abs().clamp(min=1)
    slices = SliceSource(path=str(tmp_path / "x.npy"), size=size, complex=True).read()
    found = torch.complex(*slices.images()[0])
    # half precision, and rounding that ten steps carry on
    assert (found - expected).abs().max() < 5e-3


def read_sample():
    with np.load(sample_path("brain-8coil")) as stored:
        return stored[stored.files[0]]


def test_ismrmrd(kspace, tmp_path):
    space = f"""<matrixSize><x>{SIDE}</x><y>{SIDE}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>64</x><y>64</y><z>4</z></fieldOfView_mm>"""
    xml = f"""<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<experimentalConditions><H1resonanceFrequency_Hz>63500000</H1resonanceFrequency_Hz>
</experimentalConditions><encoding><encodedSpace>{space}</encodedSpace><reconSpace>{space}
</reconSpace><encodingLimits></encodingLimits><trajectory>cartesian</trajectory></encoding>
</ismrmrdHeader>"""
    with ismrmrd.Dataset(tmp_path / "x.mrd", "dataset", mode="w") as dataset:
        dataset.write_xml_header(xml.encode())
        for step in range(SIDE):
            line = ismrmrd.Acquisition.from_array(
                np.ascontiguousarray(kspace[0, :, :, step]), center_sample=SIDE // 2
            )
            line.idx.kspace_encode_step_1 = step
            dataset.append_acquisition(line)
    slices = SliceSource(path=str(tmp_path / "x.mrd"), size=SIDE, modality="MR").read()
    np.testing.assert_allclose(shares(slices), phantom()[:1], atol=0.01)
    assert read_scan(tmp_path / "x.mrd").num_coils == 4
