import h5py
import ismrmrd
import nibabel as nib
import numpy as np
import pytest

from invdiff.data import Image, KSpace, read_scan, sample_path
from invdiff.data.arrays import Array


def test_dicom_folder_and_file_without_a_suffix(dicom_series, voxels):
    folder = dicom_series().write(voxels, names=list("abcde"))
    np.testing.assert_array_equal(read_scan(folder).values, voxels)
    np.testing.assert_array_equal(read_scan(folder / "b").values[0], voxels[1])


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti(tmp_path, name):
    nib.save(nib.Nifti1Image(np.zeros((2, 3, 4), np.float32), np.eye(4)), tmp_path / name)
    assert read_scan(tmp_path / name).modality == "other"
    assert read_scan(str(tmp_path / name), modality="CT").unit == "HU"


def test_arrays(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((2, 3)))
    assert isinstance(read_scan(tmp_path / "a.npy"), Array)
    np.savez(tmp_path / "b.npz", x=np.ones(3), k=np.ones((2, 4, 4), complex))
    assert isinstance(read_scan(tmp_path / "b.npz", key="x"), Array)
    assert isinstance(read_scan(tmp_path / "b.npz", key="k"), KSpace)


def test_hdf5(tmp_path):
    data = np.ones((1, 2, 4, 4), np.complex64)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = data
    assert isinstance(read_scan(tmp_path / "a.h5"), KSpace)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(ValueError, match=r"b\.h5: neither fastMRI .* holds \['x'\]"):
        read_scan(tmp_path / "b.h5")
    with ismrmrd.Dataset(tmp_path / "c.h5", mode="w") as dataset:
        dataset.write_xml_header(b"<a/>")
        dataset.append_acquisition(ismrmrd.Acquisition.from_array(np.ones((1, 4), np.complex64)))
    with pytest.raises(ValueError, match=r"c\.h5: the ISMRMRD header has no encoding"):
        read_scan(tmp_path / "c.h5")


def test_content_counts_more_than_the_name(dicom_series, voxels, tmp_path):
    path = dicom_series().write(voxels, names=[f"{k}.nii" for k in range(5)]) / "0.nii"
    assert isinstance(read_scan(path), Image)


@pytest.mark.parametrize("suffix", ["dcm", "nii", "nii.gz", "npy", "npz", "h5", "hdf5", "mrd"])
def test_wrong_content_is_one_line_that_names_the_file(tmp_path, suffix):
    path = tmp_path / f"file.{suffix}"
    path.write_text("hello")
    with pytest.raises(ValueError, match=rf"file\.{suffix}") as caught:
        read_scan(path)
    assert "\n" not in str(caught.value)


def test_unknown_type_and_missing(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"a\.txt: unknown type of file; expected a DICOM"):
        read_scan(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="no such file or folder"):
        read_scan(tmp_path / "absent")


def test_arguments_that_do_not_apply(tmp_path):
    with pytest.raises(ValueError, match="got modality 'MR', the file holds CT"):
        read_scan(sample_path("sts-044"), modality="MR")
    assert read_scan(sample_path("sts-044"), modality="CT").modality == "CT"
    with pytest.raises(ValueError, match=r"a key applies to \.npz files only, got 'x'"):
        read_scan(sample_path("sts-044"), key="x")
    np.save(tmp_path / "a.npy", np.ones(2))
    with pytest.raises(ValueError, match="got modality 'CT', the file holds an array"):
        read_scan(tmp_path / "a.npy", modality="CT")
