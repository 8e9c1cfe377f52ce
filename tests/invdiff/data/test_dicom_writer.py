import dataclasses

import numpy as np
import pydicom
import pytest
from dicom_files import AXIAL, SAGITTAL, oblique

from invdiff.data import Image, fit, orient, read_dicom, write_dicom

# decimal text of at most 16 characters holds positions to about this, mm
TEXT_ROUNDING = 1e-8

ORIENTATIONS = {
    "axial": AXIAL,
    "sagittal": SAGITTAL,
    "oblique": oblique(AXIAL, 0.4),
    "oblique sagittal": oblique(SAGITTAL, -0.3),
    "columns reversed": (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_round_trip_is_exact(dicom_series, voxels, tmp_path, name):
    image = read_dicom(dicom_series().write(voxels, cosines=ORIENTATIONS[name]))
    write_dicom(image, tmp_path / "out", description="copy")
    result = read_dicom(tmp_path / "out")
    np.testing.assert_array_equal(result.values, image.values)
    np.testing.assert_allclose(result.affine, image.affine, atol=TEXT_ROUNDING)
    assert (result.modality, result.unit) == ("CT", "HU")


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_marked_voxel_stays_in_place_through_orient_fit_and_write(
    dicom_series, voxels, tmp_path, world, name
):
    stored = np.zeros_like(voxels)
    stored[3, 4, 1] = 900
    image = read_dicom(
        dicom_series().write(stored, cosines=ORIENTATIONS[name], PixelSpacing=[1, 1])
    )
    mark = np.argwhere(image.values == 900)[0]
    write_dicom(fit(orient(image), 16), tmp_path / "out", description="marked")
    result = read_dicom(tmp_path / "out")
    assert result.values.shape == (5, 16, 16)
    found = np.argwhere(result.values == 900)
    assert len(found) == 1
    np.testing.assert_allclose(world(result, *found[0]), world(image, *mark), atol=1e-6)
    # the sorting does not depend on the in-plane layout, so neither does the slice number
    assert found[0][0] == mark[0]


def test_resampled_mark_keeps_its_centre_of_mass(dicom_series, tmp_path, world):
    stored = np.zeros((2, 32, 32), np.int16)
    stored[1, 20:22, 8:10] = 1000
    tags = {"PixelSpacing": [0.5, 0.5], "Modality": "MR"}
    image = read_dicom(dicom_series().write(stored, cosines=ORIENTATIONS["oblique"], **tags))
    write_dicom(fit(image, 16), tmp_path / "out", description="half")
    result = read_dicom(tmp_path / "out")
    found = np.argwhere(result.values > 500)
    assert len(found) == 1
    np.testing.assert_allclose(world(result, *found[0]), world(image, 1, 20.5, 8.5), atol=1e-6)


def test_same_image_gives_the_same_bytes(dicom_series, voxels, tmp_path):
    image = read_dicom(dicom_series().write(voxels))
    for name in ("a", "b"):
        write_dicom(image, tmp_path / name, description="mean of 8 samples")
    write_dicom(image, tmp_path / "c", description="another")
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert files == [f"slice-000{k}.dcm" for k in range(1, 6)]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    series = [pydicom.dcmread(tmp_path / n / files[0]).SeriesInstanceUID for n in "abc"]
    assert series[0] == series[1] != series[2]


def test_derived_series_says_what_it_is(dicom_series, voxels, tmp_path):
    image = read_dicom(dicom_series().write(voxels))
    description = "posterior mean, " + "x" * 80
    write_dicom(image, tmp_path / "out", description=description)
    written = [pydicom.dcmread(p) for p in sorted((tmp_path / "out").iterdir())]
    first, source = written[0], image.template[0]
    assert list(first.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
    assert first.DerivationDescription == description
    assert first.SeriesDescription == description[:64]
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert first[keyword].value == source[keyword].value
    assert first.SeriesInstanceUID != source.SeriesInstanceUID
    assert first.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert len({d.SOPInstanceUID for d in written}) == 5
    assert [d.InstanceNumber for d in written] == [1, 2, 3, 4, 5]
    assert (first.RescaleType, first.SeriesNumber) == ("HU", 9003)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(0, 1e-4, (5, 6, 4)),
        np.random.default_rng(1).uniform(-1000, 3000, (5, 6, 4)),
        np.random.default_rng(2).uniform(0, 1e8, (5, 6, 4)),
    ],
)
def test_real_values_are_kept_to_half_a_step(dicom_series, voxels, tmp_path, values):
    image = read_dicom(dicom_series().write(voxels)).replaced(values.astype(np.float32))
    write_dicom(image, tmp_path / "out", description="real")
    result = read_dicom(tmp_path / "out")
    step = np.ptp(values) / 65534
    # the slope as text and float32 on reading add rounding of about 1e-6 of the largest value
    bound = step / 2 + 1e-6 * np.abs(values).max()
    assert np.abs(result.values - image.values).max() <= bound


@pytest.mark.parametrize("low", [-32768, 0, 40000])
def test_integers_are_exact_even_beyond_int16(dicom_series, voxels, tmp_path, low):
    values = np.zeros(voxels.shape, np.float32)
    values[...] = low
    values[0, 0, 0] = low + 65535
    image = read_dicom(dicom_series().write(voxels)).replaced(values)
    write_dicom(image, tmp_path / "out", description="wide")
    np.testing.assert_array_equal(read_dicom(tmp_path / "out").values, values)


def test_constant_image(dicom_series, voxels, tmp_path):
    image = read_dicom(dicom_series().write(voxels)).replaced(np.full(voxels.shape, 0.1))
    write_dicom(image, tmp_path / "out", description="flat")
    np.testing.assert_allclose(read_dicom(tmp_path / "out").values, 0.1, rtol=1e-6)


@pytest.mark.parametrize("modality", ["MR", "PT"])
def test_other_modalities_are_written(dicom_series, voxels, tmp_path, modality):
    image = read_dicom(dicom_series().write(voxels, Modality=modality))
    write_dicom(image, tmp_path / "out", description="copy")
    result = read_dicom(tmp_path / "out")
    np.testing.assert_array_equal(result.values, voxels)
    assert result.modality == image.modality
    assert pydicom.dcmread(tmp_path / "out" / "slice-0001.dcm").Modality == modality


def test_one_slice_keeps_its_place(dicom_series, voxels, tmp_path):
    image = read_dicom(dicom_series().write(voxels)).middle()
    write_dicom(image, tmp_path / "out", description="middle")
    np.testing.assert_allclose(read_dicom(tmp_path / "out").affine, image.affine, atol=1e-9)


def test_overlong_source_tags_do_not_stop_the_writing(dicom_series, voxels, tmp_path):
    series = dicom_series()
    with pydicom.config.disable_value_validation():
        series.write(voxels[:1], StudyID="longer than sixteen characters")
    write_dicom(read_dicom(series.folder), tmp_path / "out", description="copy")
    assert read_dicom(tmp_path / "out").num_slices == 1


def test_existing_output_is_kept_unless_asked(dicom_series, voxels, tmp_path):
    image = read_dicom(dicom_series().write(voxels))
    write_dicom(image, tmp_path / "out", description="first")
    with pytest.raises(ValueError, match="holds 5 files; pass overwrite=True"):
        write_dicom(image, tmp_path / "out", description="second")
    write_dicom(image.middle(), tmp_path / "out", description="second", overwrite=True)
    assert read_dicom(tmp_path / "out").num_slices == 1
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"found notes\.txt"):
        write_dicom(image, tmp_path / "out", description="third", overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "series"]


def test_failure_leaves_nothing_behind(dicom_series, voxels, tmp_path, monkeypatch):
    image = read_dicom(dicom_series().write(voxels))

    def full(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(pydicom.Dataset, "save_as", full)
    with pytest.raises(OSError, match="disk full"):
        write_dicom(image, tmp_path / "out", description="copy")
    assert [p.name for p in tmp_path.iterdir()] == ["series"]


def test_bad_arguments(dicom_series, voxels, tmp_path):
    image = read_dicom(dicom_series().write(voxels))
    for description in ("", "  ", "a\\b", "späte", "a\nb", "x" * 1025):
        with pytest.raises(ValueError, match="description: expected"):
            write_dicom(image, tmp_path / "out", description=description)
    with pytest.raises(ValueError, match="no DICOM headers"):
        write_dicom(Image(image.values, image.affine), tmp_path / "out", description="x")
    shear = image.affine @ np.array([[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    with pytest.raises(ValueError, match="not perpendicular"):
        write_dicom(dataclasses.replace(image, affine=shear), tmp_path / "out", description="x")
    with pytest.raises(ValueError, match="does not exist"):
        write_dicom(image, tmp_path / "no" / "out", description="x")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="found a file"):
        write_dicom(image, tmp_path / "file", description="x")
