import gzip

import nibabel as nib
import numpy as np
import pytest

from invdiff.data import Image, fit, orient, read_dicom, read_nifti, write_nifti

AFFINE = np.array(
    [[-0.9, -0.06, 0.04, 125], [0.06, -0.9, -0.15, 109], [0.01, -0.05, 3, -47], [0, 0, 0, 1]]
)


def saved(path, values, affine=AFFINE, units="mm"):
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units(units)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_axes_and_affine_are_those_of_nibabel(tmp_path, suffix, world):
    values = np.arange(60, dtype=np.int16).reshape(5, 4, 3)
    path = saved(tmp_path / f"a{suffix}", values)
    image = read_nifti(path)
    assert image.values.shape == (3, 4, 5)
    assert image.values[2, 1, 4] == values[4, 1, 2]
    np.testing.assert_array_equal(image.affine, nib.load(path).affine)
    hand = np.array(
        [
            -0.9 * 4 - 0.06 * 1 + 0.04 * 2 + 125,
            0.06 * 4 - 0.9 - 0.15 * 2 + 109,
            0.04 - 0.05 + 6 - 47,
        ]
    )
    np.testing.assert_allclose(world(image, 2, 1, 4), hand, atol=1e-5)
    assert (image.modality, image.unit) == ("other", "arbitrary")


def test_modality_is_what_the_caller_says(tmp_path):
    path = saved(tmp_path / "a.nii", np.zeros((2, 2, 2), np.float32))
    assert read_nifti(path, modality="CT").unit == "HU"
    assert read_nifti(path, modality="MR").unit == "arbitrary"


def test_two_dimensions_and_trailing_ones(tmp_path):
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    image = read_nifti(saved(tmp_path / "a.nii", values))
    np.testing.assert_array_equal(image.values, values.T[None])
    image = read_nifti(saved(tmp_path / "b.nii", values[:, :, None, None]))
    np.testing.assert_array_equal(image.values, values.T[None])


def test_scaling_of_the_header_is_applied(tmp_path):
    image = nib.Nifti1Image(np.arange(8, dtype=np.int16).reshape(2, 2, 2), AFFINE)
    image.header.set_slope_inter(0.5, -3)
    nib.save(image, tmp_path / "a.nii")
    expected = nib.load(tmp_path / "a.nii").get_fdata().T
    np.testing.assert_allclose(read_nifti(tmp_path / "a.nii").values, expected, rtol=1e-6)


@pytest.mark.parametrize(("units", "mm"), [("meter", 1000), ("micron", 1e-3), ("unknown", 1)])
def test_lengths_become_mm(tmp_path, units, mm):
    path = saved(
        tmp_path / "a.nii", np.zeros((2, 2, 2), np.float32), np.diag([2.0, 3, 4, 1]), units
    )
    np.testing.assert_allclose(read_nifti(path).spacing, np.array([4, 3, 2]) * mm, rtol=1e-6)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_round_trip(tmp_path, name):
    values = np.random.default_rng(0).random((3, 4, 5), np.float32)
    image = Image(values, AFFINE)
    write_nifti(image, tmp_path / name)
    result = read_nifti(tmp_path / name)
    np.testing.assert_array_equal(result.values, values)
    # NIfTI holds the affine in float32
    np.testing.assert_allclose(result.affine, AFFINE, rtol=1e-6, atol=1e-6)
    assert nib.load(tmp_path / name).header.get_xyzt_units()[0] == "mm"


def test_affine_of_a_file_survives_unchanged(tmp_path):
    path = saved(tmp_path / "a.nii", np.zeros((2, 3, 4), np.uint16))
    write_nifti(read_nifti(path), tmp_path / "b.nii")
    np.testing.assert_array_equal(nib.load(tmp_path / "b.nii").affine, nib.load(path).affine)


def test_space_and_description_of_the_input_are_kept(tmp_path):
    source = nib.Nifti1Image(np.zeros((2, 3, 4), np.uint16), np.diag([2.0, 2, 2, 1]))
    source.set_sform(source.affine, code=4)
    source.header["descrip"] = b"mni"
    nib.save(source, tmp_path / "a.nii")
    write_nifti(read_nifti(tmp_path / "a.nii"), tmp_path / "b.nii")
    header = nib.load(tmp_path / "b.nii").header
    assert (int(header["sform_code"]), header["descrip"].item()) == (4, b"mni")
    assert header.get_data_dtype() == np.float32


def test_sheared_affine_has_no_quaternion(tmp_path):
    sheared = np.array([[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    write_nifti(Image(np.zeros((2, 2, 2), np.float32), sheared), tmp_path / "a.nii")
    image = nib.load(tmp_path / "a.nii")
    assert int(image.header["qform_code"]) == 0
    np.testing.assert_allclose(image.affine, sheared, rtol=1e-6)


def test_same_image_gives_the_same_bytes(tmp_path):
    image = Image(np.ones((2, 3, 4), np.float32), AFFINE)
    write_nifti(image, tmp_path / "a.nii.gz")
    write_nifti(image, tmp_path / "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_dicom_to_nifti_keeps_the_world(dicom_series, voxels, tmp_path, world):
    stored = np.zeros_like(voxels)
    stored[3, 4, 1] = 900
    image = read_dicom(dicom_series().write(stored, PixelSpacing=[1, 1]))
    write_nifti(fit(orient(image), 16), tmp_path / "a.nii.gz")
    nifti = nib.load(tmp_path / "a.nii.gz")
    found = np.argwhere(nifti.get_fdata() == 900)[0]
    np.testing.assert_allclose(nifti.affine[:3] @ (*found, 1), world(image, 3, 4, 1), atol=1e-5)


def test_existing_file_is_kept_unless_asked(tmp_path):
    image = Image(np.zeros((2, 3, 4), np.float32), AFFINE)
    write_nifti(image, tmp_path / "a.nii")
    with pytest.raises(ValueError, match=r"a\.nii: exists already"):
        write_nifti(image, tmp_path / "a.nii")
    write_nifti(image.replaced(image.values + 1), tmp_path / "a.nii", overwrite=True)
    assert read_nifti(tmp_path / "a.nii").values.max() == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii"]


@pytest.mark.parametrize("name", ["a.mgz", "a.nii.bz2", "a"])
def test_other_names_are_not_written(tmp_path, name):
    with pytest.raises(ValueError, match=r"ends in \.nii or \.nii\.gz"):
        write_nifti(Image(np.zeros((2, 3, 4), np.float32), AFFINE), tmp_path / name)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_truncated_anywhere(tmp_path, suffix):
    values = np.random.default_rng(0).integers(0, 999, (6, 7, 8)).astype(np.int16)
    path = saved(tmp_path / f"a{suffix}", values)
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 23), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"a\.nii.*not a readable NIfTI"):
            read_nifti(path)


def test_damaged_compression(tmp_path):
    path = saved(tmp_path / "a.nii.gz", np.arange(4000, dtype=np.int16).reshape(10, 20, 20))
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"a\.nii\.gz: not a readable"):
        read_nifti(path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 3, 4, 5), np.float32), r"2D or 3D image, got shape \(2, 3, 4, 5\)"),
        (np.zeros(7, np.float32), "2D or 3D image"),
        (np.zeros((2, 3, 4), np.complex64), "one real number a voxel, got complex64"),
        (np.zeros((2, 3, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")]), "one real number a voxel"),
        (np.full((2, 3, 4), np.nan, np.float32), r"nan at \(slice 0, row 0, col 0\); 24 of 24"),
        (np.full((2, 3, 4), 1e300), "in float32.*inf"),
    ],
)
def test_unusable_values(tmp_path, values, message):
    path = saved(tmp_path / "a.nii", values)
    with pytest.raises(ValueError, match=rf"a\.nii.*{message}"):
        read_nifti(path)


def test_degenerate_affine_names_the_file(tmp_path):
    path = saved(tmp_path / "a.nii", np.zeros((2, 3, 4), np.float32))
    raw = bytearray(path.read_bytes())
    raw[280:296] = bytes(16)  # first row of the sform
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=r"a\.nii: affine"):
        read_nifti(path)


def test_not_nifti(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        read_nifti(tmp_path / "absent.nii")
    (tmp_path / "text.nii.gz").write_bytes(gzip.compress(b"hello"))
    with pytest.raises(ValueError, match=r"text\.nii\.gz: not a readable NIfTI"):
        read_nifti(tmp_path / "text.nii.gz")
