"""Slices of scans: the same as a reconstruction reads, from folders nested at will."""

import shutil

import h5py
import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch

from invdiff.data import Image, list_samples, read_scan, sample_path
from invdiff.study.build import build_problem
from invdiff.study.load import parse_experiment
from invdiff.study.slices import SliceSource
from invdiff.study.slices.plane import resliced

SIZE = 64
CT, MR = {"kind": "ct-parallel", "views": 8}, {"kind": "mri-cartesian"}


def truth_of_run(path, operator, index, **changes):
    """Return what a run simulates a scan of, as shares of the prior's range."""
    experiment = parse_experiment(
        {
            "name": "one",
            "input": {"path": str(path), "slice": index, **changes},
            "operator": operator,
            "prior": {"name": "any"},
            "sampler": {"kind": "red-diff"},
        }
    )
    problem = build_problem(experiment, (SIZE, SIZE))
    return (problem.truth / problem.units.high).clamp(0, 1)


def write_nifti(path, values, voxel=(2.0, 2.0, 3.0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([*voxel, 1.0])
    nib.save(nib.Nifti1Image(values.astype(np.float32).transpose(2, 1, 0), affine), path)
    return path


def bars(count, factor=1.0):
    """Slices of 30 x 20, each a bar of its own length."""
    values = np.zeros((count, 30, 20))
    for k in range(count):
        values[k, 4 : 10 + k, 5:15] = factor * (k + 1)
    return values


def copy_series(sample, folder, prefix="", **tags):
    """Copy the files of a sample's series and change some of their tags."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(sample_path(sample).iterdir()):
        dataset = pydicom.dcmread(file)
        for keyword, value in tags.items():
            setattr(dataset, keyword, value)
        dataset.save_as(folder / f"{prefix}{file.stem}")


@pytest.mark.parametrize(
    ("sample", "operator", "pixel_mm"),
    [("sts-044", CT, None), ("head-t1", MR, 1.0)],
)
def test_a_slice_is_what_a_run_makes_of_it(sample, operator, pixel_mm):
    slices = SliceSource(path=str(sample_path(sample)), size=SIZE, pixel_mm=pixel_mm).read()
    assert len(slices) == 5
    for index in (0, 2, 4):
        expected = truth_of_run(sample_path(sample), operator, index)
        shares = (slices.images(slice(index, index + 1))[0, 0] + 1) / 2
        assert (shares - expected).abs().max() <= 0.5 / 255 + 1e-6


def test_a_nifti_slice_is_what_a_run_makes_of_it(tmp_path):
    path = write_nifti(tmp_path / "t1.nii.gz", bars(3))
    choices = {"modality": "MR", "size": SIZE, "pixel_mm": 1.0}
    slices = SliceSource(path=str(path), **choices).read()
    expected = truth_of_run(path, MR, 1, modality="MR")
    assert ((slices.images()[1, 0] + 1) / 2 - expected).abs().max() <= 0.5 / 255 + 1e-6


def test_the_range_is_of_each_slice_or_of_the_scan(tmp_path):
    path = str(write_nifti(tmp_path / "t1.nii", bars(4)))
    assert SliceSource(path=path).read().values.amax((1, 2, 3)).tolist() == [255] * 4
    levels = SliceSource(path=path, range_of="scan").read().values.amax((1, 2, 3))
    assert levels.tolist() == [64, 128, 191, 255]


def test_ct_is_relative_to_two_and_a_half_times_water(tmp_path):
    values = np.stack([np.full((8, 8), hu) for hu in (-1200, -1000, 0, 1500, 3000)])
    path = write_nifti(tmp_path / "ct.nii.gz", values)
    slices = SliceSource(path=str(path), modality="CT", size=8).read()
    assert slices.values[:, 0, 4, 4].tolist() == [0, 0, 102, 255, 255]


def test_slices_of_air_are_left_out_of_a_ct(tmp_path):
    values = np.stack([np.full((8, 8), hu) for hu in (-1000, 0, -1000, 1500)])
    path = write_nifti(tmp_path / "ct.nii.gz", values)
    slices = SliceSource(path=str(path), modality="CT", size=8, min_content=0.5).read()
    assert slices.values[:, 0, 4, 4].tolist() == [102, 255]


def test_slices_of_nothing_are_left_out(tmp_path):
    values = bars(4)
    values[1] = 0
    slices = SliceSource(path=str(write_nifti(tmp_path / "t1.nii", values)), size=SIZE).read()
    assert len(slices) == 3


def test_every_file_and_folder_is_a_subject(tmp_path):
    write_nifti(tmp_path / "a.nii.gz", bars(2))
    write_nifti(tmp_path / "b" / "x" / "y" / "t1.nii.gz", bars(3, 5))
    write_nifti(tmp_path / "b" / "t2.nii", bars(2))
    (tmp_path / ".hidden.nii").write_text("no scan")
    slices = SliceSource(path=str(tmp_path), modality="MR", size=SIZE, pixel_mm=1.0).read()
    assert slices.values.shape == (7, 1, SIZE, SIZE)
    assert slices.subjects == ("a", "a", *["b"] * 5)


def test_loose_dicom_files_are_grouped_by_series_and_patient(tmp_path):
    dump = tmp_path / "DICOM"
    copy_series("head-t1", dump, "a", PatientID="anna", SeriesInstanceUID="1.2.1")
    copy_series("head-t1", dump, "b", PatientID="anna", SeriesInstanceUID="1.2.2")
    copy_series("head-t1", dump, "c", PatientID="bert", SeriesInstanceUID="1.2.1")
    # the files of one series may lie in several folders
    (dump / "more").mkdir()
    (dump / "b2").rename(dump / "more" / "b2")
    slices = SliceSource(path=str(tmp_path), size=SIZE).read()
    assert sorted(slices.subjects) == ["anna"] * 10 + ["bert"] * 5
    assert torch.equal(slices.values[:5], slices.values[5:10])


def test_a_patient_in_two_folders_is_one_subject(tmp_path):
    for visit in ("1", "2"):
        copy_series("head-t1", tmp_path / visit, PatientID="anna", SeriesInstanceUID=f"1.{visit}")
    copy_series("head-t1", tmp_path / "3", PatientID="", SeriesInstanceUID="1.3")
    slices = SliceSource(path=str(tmp_path), size=SIZE).read()
    assert slices.subjects == ("anna",) * 10 + ("3",) * 5


def test_what_is_no_image_is_skipped_with_one_warning(tmp_path, caplog):
    copy_series("head-t1", tmp_path / "a", "x")
    copy_series("head-t1", tmp_path / "a" / "scout", ImageType=["ORIGINAL", "LOCALIZER"])
    copy_series("head-t1", tmp_path / "a" / "dose", Modality="RTDOSE")
    (tmp_path / "readme.txt").write_text("no scan")
    (tmp_path / "a" / "DICOMDIR").write_text("index")
    slices = SliceSource(path=str(tmp_path), size=SIZE).read()
    assert len(slices) == 5
    assert [r.getMessage() for r in caplog.records] == [
        f"{tmp_path}: 11 files that aren't images of a patient are skipped"
    ]


def test_series_of_another_modality_are_left_out(tmp_path, caplog):
    copy_series("head-t1", tmp_path / "mr")
    copy_series("sts-044", tmp_path / "ct")
    slices = SliceSource(path=str(tmp_path), modality="CT", size=SIZE).read()
    assert len(slices) == 5
    assert "1 scans that aren't CT are left out" in caplog.text


def test_links_are_followed_once(tmp_path):
    write_nifti(tmp_path / "far" / "one.nii", bars(2))
    write_nifti(tmp_path / "all" / "two.nii", bars(3))
    (tmp_path / "all" / "a").symlink_to(tmp_path / "far")
    (tmp_path / "all" / "b").symlink_to(tmp_path / "far")
    (tmp_path / "all" / "loop").symlink_to(tmp_path / "all")
    (tmp_path / "all" / "twofold.nii").symlink_to(tmp_path / "all" / "two.nii")
    slices = SliceSource(path=str(tmp_path / "all"), modality="MR", size=SIZE).read()
    assert slices.subjects == ("two",) * 3 + ("a",) * 2


def test_links_to_nothing_are_told(tmp_path, caplog):
    write_nifti(tmp_path / "one.nii", bars(2))
    (tmp_path / "two.nii").symlink_to(tmp_path / "gone.nii")
    assert len(SliceSource(path=str(tmp_path), size=SIZE).read()) == 2
    assert "1 files that aren't images" in caplog.text


def test_only_what_has_a_pattern_is_read(tmp_path, caplog):
    for name in ("t1", "t1_mask", "flair"):
        write_nifti(tmp_path / "a" / f"{name}.nii", bars(2))
    slices = SliceSource(path=str(tmp_path), size=SIZE, only_pattern=r"t1\.|flair").read()
    assert slices.subjects == ("a",) * 4
    assert "1 scans without t1" in caplog.text


def test_hounsfield_units_that_nobody_declared_are_refused(tmp_path):
    path = write_nifti(tmp_path / "ct.nii", bars(2) - 1000)
    with pytest.raises(ValueError, match="down to -1000, as HU have: modality: CT") as refusal:
        SliceSource(path=str(path), skip_damaged=True, size=SIZE).read()
    assert "\n" not in str(refusal.value)
    for modality in ("CT", "other"):
        assert len(SliceSource(path=str(path), modality=modality, size=SIZE).read()) == 2


@pytest.mark.parametrize("damage", ["a truncated file", "no DICOM", "a damaged NIfTI file"])
def test_damage_is_refused_or_left_out_with_a_warning(tmp_path, caplog, damage):
    copy_series("head-t1", tmp_path / "good")
    bad = tmp_path / "bad" / "1.dcm"
    if damage == "a truncated file":
        copy_series("head-t1", tmp_path / "bad", SeriesInstanceUID="1.2")
        bad = tmp_path / "bad" / "1"
        bad.write_bytes(bad.read_bytes()[:-1000])
    else:
        bad = bad if damage == "no DICOM" else bad.with_name("1.nii")
        bad.parent.mkdir()
        bad.write_bytes(b"nothing of the sort")
    with pytest.raises(ValueError, match=str(bad)) as refusal:
        SliceSource(path=str(tmp_path), size=SIZE).read()
    assert "\n" not in str(refusal.value)
    assert "skip_damaged: true" in str(refusal.value)
    assert len(SliceSource(path=str(tmp_path), size=SIZE, skip_damaged=True).read()) == 5
    assert f"{tmp_path}: 1 scans are left out, such as: {bad}" in caplog.text


def test_planes_are_cut_along_the_voxels(tmp_path):
    rng = np.random.default_rng(0)
    # NIfTI's own order: right, front, head
    values = rng.random((18, 24, 20))
    path = str(write_nifti(tmp_path / "t1.nii", values, (1.0, 1.0, 1.0)))
    shares = {
        plane: SliceSource(path=path, plane=plane, size=24, pixel_mm=1.0, range_of="scan").read()
        for plane in ("axial", "coronal", "sagittal")
    }
    level = np.percentile(np.pad(values, ((0, 0), (0, 0), (2, 2))), 99.7)
    for plane, cut, shown in (
        ("axial", values[5], (slice(None), slice(2, 22))),
        ("coronal", values[:, 5], (slice(3, 21), slice(2, 22))),
        ("sagittal", values[:, :, 5], (slice(3, 21), slice(None))),
    ):
        # head or front up, right on the left, front on the left
        found = shares[plane].values[5, 0].numpy()[shown] / 255
        np.testing.assert_allclose(found, (cut[::-1, ::-1] / level).clip(0, 1), atol=0.02)


def test_the_plane_of_tilted_thick_slices_is_that_of_their_directions():
    tilt, thick = np.deg2rad(30), 10.0
    affine = np.eye(4)
    affine[1:3, 1] = np.cos(tilt), np.sin(tilt)
    affine[1:3, 2] = -thick * np.sin(tilt), thick * np.cos(tilt)
    image = Image(np.zeros((20, 18, 16), np.float32), affine, source="x")
    counts = [resliced(image, p, "x").num_slices for p in ("axial", "coronal", "sagittal")]
    assert counts == [20, 18, 16]


def test_refuses_to_cut_across_few_slices(tmp_path):
    path = write_nifti(tmp_path / "t1.nii", bars(4))
    with pytest.raises(ValueError, match="16 or more slices to cut coronal ones from, got 4"):
        SliceSource(path=str(path), plane="coronal").read()


def test_acquired_slices_are_left_as_they_are(tmp_path):
    values = np.random.default_rng(0).random((20, 18, 16)).astype(np.float32)
    # slices run to the right: a sagittal scan
    affine = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])
    nib.save(nib.Nifti1Image(values.transpose(2, 1, 0), affine), tmp_path / "s.nii")
    choices = {"path": str(tmp_path / "s.nii"), "size": SIZE}
    counts = {p: len(SliceSource(plane=p, **choices).read()) for p in ("acquired", "sagittal",
                                                                        "axial")}  # fmt: skip
    assert counts == {"acquired": 20, "sagittal": 20, "axial": 18}


def test_real_arrays_are_images(tmp_path):
    np.save(tmp_path / "x.npy", bars(3))
    slices = SliceSource(path=str(tmp_path / "x.npy"), size=SIZE, pixel_mm=1.0).read()
    expected = truth_of_run_of_array(tmp_path, bars(3)[1])
    assert ((slices.images()[1, 0] + 1) / 2 - expected).abs().max() <= 0.5 / 255 + 1e-6


def truth_of_run_of_array(folder, values):
    np.save(folder / "one.npy", values)
    return truth_of_run(folder / "one.npy", MR, "middle")


def test_arrays_are_of_any_modality_and_kspace_of_mr(tmp_path):
    np.save(tmp_path / "x.npy", bars(3))
    assert len(SliceSource(path=str(tmp_path / "x.npy"), modality="MR", size=SIZE).read()) == 3
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file["kspace"] = np.ones((1, 8, 8), np.complex64)
    with pytest.raises(ValueError, match="no slices in it"):
        SliceSource(path=str(tmp_path / "y.h5"), modality="CT").read()


def test_reads_the_samples_that_ship():
    for name in list_samples():
        if sample_path(name).is_dir():
            slices = SliceSource(path=str(sample_path(name)), size=SIZE).read()
            assert len(slices) == read_scan(sample_path(name)).num_slices


def test_slices_must_have_one_size(tmp_path):
    for side in (8, 9):
        np.savez(tmp_path / f"{side}.npz", x=np.ones((2, side, side), np.uint8))
    with pytest.raises(ValueError, match=r"8.npz has .*\(1, 8, 8\), but .*9.npz has \(1, 9, 9\)"):
        SliceSource(path=str(tmp_path)).read()


@pytest.mark.parametrize("name", ["bad.npz", "none", "empty", "x.npy"])
def test_refuses_paths_without_slices(tmp_path, name):
    (tmp_path / "bad.npz").write_text("nothing")
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "x.npy", np.ones(4))
    message = {"bad.npz": "not a readable archive", "none": "no such", "empty": "empty",
               "x.npy": "expected real images"}[name]  # fmt: skip
    with pytest.raises(ValueError, match=message) as refusal:
        SliceSource(path=str(tmp_path / name)).read()
    assert "\n" not in str(refusal.value)


def test_the_sample_takes_the_place_of_a_missing_path(caplog):
    slices = SliceSource(path="nowhere", size=SIZE).read("head-t1")
    assert len(slices) == 5
    assert "head-t1 is used in its place" in caplog.text


def test_complex_slices_need_complex_files(tmp_path):
    shutil.copytree(sample_path("head-t1"), tmp_path / "a")
    with pytest.raises(ValueError, match="needs k-space"):
        SliceSource(path=str(tmp_path), complex=True).read()
