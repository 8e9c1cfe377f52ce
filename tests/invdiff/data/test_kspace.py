from pathlib import Path

import numpy as np
import pytest

from invdiff.data import KSpace, crop_readout, kspace_from_array, read_kspace_array

BRAIN = Path(__file__).parents[4] / "shared/data/kspace/brain-8coil-undersampled.npy"


def fft(image):
    axes = (-2, -1)
    shifted = np.fft.ifftshift(image, axes=axes)
    return np.fft.fftshift(np.fft.fft2(shifted, norm="ortho"), axes=axes)


def ifft(data):
    axes = (-2, -1)
    shifted = np.fft.ifftshift(data, axes=axes)
    return np.fft.fftshift(np.fft.ifft2(shifted, norm="ortho"), axes=axes)


def measured(slices=2, coils=3, rows=8, cols=6, skip=(1, 4), **fields):
    rng = np.random.default_rng(0)
    shape = (slices, coils, rows, cols)
    data = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    data[..., list(skip)] = 0
    return KSpace(data, (data != 0).any(axis=(0, 1)), **fields)


def test_zeros_were_not_sampled(tmp_path):
    kspace = measured()
    np.save(tmp_path / "k.npy", kspace.data[0])
    read = read_kspace_array(tmp_path / "k.npy", spacing=(5, 1, 1))
    assert (read.num_slices, read.num_coils, read.spacing) == (1, 3, (5, 1, 1))
    np.testing.assert_array_equal(read.data[0], kspace.data[0])
    np.testing.assert_array_equal(read.mask[0], [True, False, True, True, False, True])


def test_slices_sampled_differently_are_refused():
    data = measured().data.copy()
    data[1, :, :, 0] = 0
    with pytest.raises(ValueError, match="slice 1 lacks 8 of the 32 locations"):
        kspace_from_array(data)


@pytest.mark.parametrize("values", [np.ones((4, 4), complex), np.ones((2, 4, 4))])
def test_other_arrays_are_refused(values):
    with pytest.raises(ValueError, match="expected complex values of shape"):
        kspace_from_array(values)


def test_slice_and_middle():
    affine = np.diag([1.0, 1, 4, 1])
    kspace = measured(slices=3, affine=affine, reference=np.zeros((3, 4, 4), np.float32))
    part = kspace.middle()
    np.testing.assert_array_equal(part.data[0], kspace.data[1])
    assert part.affine[2, 3] == 4
    assert part.reference.shape == (1, 4, 4)
    with pytest.raises(ValueError, match="expected 0 to 2, got 3"):
        kspace.slice(3)


def test_image_without_a_place_is_centred(world):
    kspace = measured(spacing=(5.0, 1.5, 2.0))
    image = kspace.image(np.ones((2, 8, 6)))
    assert image.spacing == (5.0, 1.5, 2.0)
    assert image.modality == "MR"
    np.testing.assert_array_equal(world(image, 1, 4, 3), (0, 0, 0))
    # one column on is 2 mm to the patient's left, one row on 1.5 mm to the back
    np.testing.assert_array_equal(world(image, 1, 5, 4), (-2, -1.5, 0))
    with pytest.raises(ValueError, match="expected shape"):
        kspace.image(np.ones((2, 6, 8)))
    with pytest.raises(ValueError, match="size of a pixel is unknown"):
        measured().image(np.ones((2, 8, 6)))


@pytest.mark.parametrize(("rows", "keep"), [(8, 4), (9, 4), (9, 5), (8, 5), (8, 8)])
def test_crop_readout_crops_the_image(rows, keep):
    kspace = measured(rows=rows, affine=np.eye(4))
    cropped = crop_readout(kspace, keep)
    start = rows // 2 - keep // 2
    np.testing.assert_allclose(
        ifft(cropped.data), ifft(kspace.data)[..., start : start + keep, :], atol=1e-6
    )
    assert cropped.data.dtype == np.complex64
    assert cropped.affine[1, 3] == start
    np.testing.assert_array_equal(cropped.mask, kspace.mask[:keep])


def test_crop_readout_needs_whole_readouts():
    data = measured(skip=()).data.copy()
    data[:, :, 0, 0] = 0
    with pytest.raises(ValueError, match="sampled in part"):
        crop_readout(kspace_from_array(data), 4)
    with pytest.raises(ValueError, match="expected 1 to 8 rows, got 9"):
        crop_readout(measured(), 9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": np.ones((2, 4, 4), np.complex64)}, "complex64 data of shape"),
        ({"data": np.ones((1, 2, 4, 4), complex)}, "complex64 data of shape"),
        ({"mask": np.ones((4, 5), bool)}, r"bool mask of shape \(4, 4\)"),
        ({"mask": np.ones((4, 4))}, "got float64"),
        ({"mask": np.zeros((4, 4), bool)}, "no k-space location is sampled"),
        ({"mask": np.eye(4, dtype=bool)}, "data where the mask has nothing"),
        ({"data": np.full((1, 2, 4, 4), np.nan, np.complex64)}, "slice 0, coil 0, row 0, col 0"),
    ],
)
def test_parts_that_do_not_fit(change, message):
    parts = {"data": np.ones((1, 2, 4, 4), np.complex64), "mask": np.ones((4, 4), bool)}
    with pytest.raises(ValueError, match=message):
        KSpace(**{**parts, **change})


@pytest.mark.skipif(not BRAIN.exists(), reason="the measured brain is not here")
def test_measured_brain():
    kspace = read_kspace_array(BRAIN)
    assert kspace.data.shape == (1, 8, 230, 180)
    assert kspace.mask.mean() == pytest.approx(0.1243, abs=1e-3)
    # centred: the energy is around the middle of k-space
    energy = (np.abs(kspace.data[0]) ** 2).sum(axis=0)
    peak = np.unravel_index(energy.argmax(), energy.shape)
    assert np.abs(np.array(peak) - (115, 90)).max() <= 2
