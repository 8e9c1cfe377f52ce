import re
from contextlib import suppress

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLSLossless, generate_uid

from invdiff.data import read_dicom


def test_missing_path(tmp_path):
    with pytest.raises(ValueError, match=r"absent\.dcm: no such file"):
        read_dicom(tmp_path / "absent.dcm")


def test_empty_folder(tmp_path):
    with pytest.raises(ValueError, match="no files in this folder"):
        read_dicom(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\0" * 500])
def test_not_dicom(dicom_series, voxels, content):
    folder = dicom_series().write(voxels)
    (folder / "notes.txt").write_bytes(content)
    with pytest.raises(ValueError, match=r"notes\.txt: not a DICOM file"):
        read_dicom(folder)


def test_truncated_anywhere_is_refused_and_named(dicom_series, voxels):
    folder = dicom_series().write(voxels)
    whole = (folder / "2.dcm").read_bytes()
    for length in [*range(0, len(whole), 7), len(whole) - 1]:
        (folder / "2.dcm").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"2\.dcm") as caught:
            read_dicom(folder)
        assert "\n" not in str(caught.value)


def test_damaged_bytes_give_an_image_or_a_value_error(dicom_series, voxels):
    folder = dicom_series().write(voxels[:1])
    whole = (folder / "0.dcm").read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        for position in rng.integers(128, len(whole) - 200, 3):
            damaged[position] = int(rng.integers(256))
        (folder / "0.dcm").write_bytes(damaged)
        # any other exception fails the test
        with suppress(ValueError):
            read_dicom(folder)
            continue
        refused += 1
    assert refused > 20


def test_missing_slice_names_the_gap(dicom_series, voxels):
    folder = dicom_series().write(voxels)
    (folder / "2.dcm").unlink()
    with pytest.raises(ValueError, match=r"1\.dcm and .*3\.dcm are 5 mm apart, expected 2\.5 mm"):
        read_dicom(folder)


def test_first_gap_is_found_too(dicom_series, voxels):
    folder = dicom_series().write(voxels)
    (folder / "1.dcm").unlink()
    with pytest.raises(ValueError, match=r"0\.dcm and .*2\.dcm are 5 mm apart"):
        read_dicom(folder)


def test_positions_rounded_by_the_scanner_are_uniform(dicom_series, voxels):
    series = dicom_series()
    for k, stored in enumerate(voxels):
        series.save(series.dataset(stored, (0, 0, round(1.25 * k, 1))), f"{k}.dcm")
    assert read_dicom(series.folder).spacing[0] == pytest.approx(1.25)


@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("SeriesInstanceUID", generate_uid(entropy_srcs=["other"]), "SeriesInstanceUID 1.2.826"),
        ("ImageOrientationPatient", [1, 0, 0, 0, 0, -1], "ImageOrientationPatient"),
        ("PixelSpacing", [0.8, 0.8], r"PixelSpacing \[0\.8, 0\.7\] and \[0\.8, 0\.8\]"),
        ("Modality", "MR", "Modality CT and MR"),
    ],
)
def test_mixed_series_names_both(dicom_series, voxels, keyword, value, message):
    series = dicom_series()
    series.write(voxels)
    stray = series.dataset(voxels[0], (-10, -20, 42.5), **{keyword: value})
    series.save(stray, "stray.dcm")
    with pytest.raises(ValueError, match=rf"0\.dcm and .*stray\.dcm are not one series: {message}"):
        read_dicom(series.folder)


def test_mixed_sizes(dicom_series, voxels):
    series = dicom_series()
    series.write(voxels)
    series.save(series.dataset(voxels[0, :4], (-10, -20, 42.5)), "stray.dcm")
    with pytest.raises(ValueError, match=r"size \(6, 4\) and \(4, 4\)"):
        read_dicom(series.folder)


def test_same_instance_twice(dicom_series, voxels):
    folder = dicom_series().write(voxels)
    (folder / "copy.dcm").write_bytes((folder / "1.dcm").read_bytes())
    with pytest.raises(ValueError, match=r"1\.dcm and .*copy\.dcm are the same image"):
        read_dicom(folder)


def test_same_position_twice(dicom_series, voxels):
    series = dicom_series()
    series.write(voxels)
    echo = series.dataset(voxels[0], (-10, -20, 32.5), SOPInstanceUID=generate_uid())
    series.save(echo, "echo.dcm")
    with pytest.raises(ValueError, match=r"1\.dcm and .*echo\.dcm lie at the same position"):
        read_dicom(series.folder)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"ImagePositionPatient": None}, "no ImagePositionPatient"),
        ({"ImageOrientationPatient": None}, "no ImageOrientationPatient"),
        ({"PixelSpacing": None}, "no PixelSpacing"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "two perpendicular unit vectors"),
        ({"ImageOrientationPatient": [1, 0, 0]}, "expected 6 finite numbers"),
        ({"PixelSpacing": [0, 1]}, "PixelSpacing: expected positive"),
        ({"RescaleSlope": 0}, "RescaleSlope is 0"),
        ({"SamplesPerPixel": 3}, "colour"),
        ({"PixelData": None}, "no pixel data"),
        ({"Rows": 7}, "truncated"),
        ({"ModalityLUTSequence": [pydicom.Dataset()]}, "lookup table"),
        ({"NumberOfFrames": 2, "Rows": 3}, "2 frames without a position"),
    ],
)
def test_unusable_headers(dicom_series, voxels, tags, message):
    folder = dicom_series().write(voxels[:1], **tags)
    with pytest.raises(ValueError, match=rf"0\.dcm.*{message}"):
        read_dicom(folder)


def test_a_number_that_is_none(dicom_series, voxels):
    series = dicom_series()
    path = series.save(series.dataset(voxels[0], (0, 0, 0), RescaleIntercept=-1024), "0.dcm")
    path.write_bytes(path.read_bytes().replace(b"-1024", b"-1o24"))
    with pytest.raises(ValueError, match=r"0\.dcm.*-1o24"):
        read_dicom(path)


def test_no_decoder_is_said_in_one_line(dicom_series, voxels):
    series = dicom_series()
    dataset = series.dataset(voxels[0], (0, 0, 0), PixelData=encapsulate([b"\xff\xd8\xff\xf7" * 9]))
    dataset["PixelData"].is_undefined_length = True
    path = series.save(dataset, "0.dcm", syntax=JPEGLSLossless)
    with pytest.raises(ValueError, match=r"0\.dcm: cannot read JPEG-LS Lossless") as caught:
        read_dicom(path)
    assert "\n" not in str(caught.value)


def test_not_finite_value_is_named(dicom_series):
    series = dicom_series()
    stored = np.array([[0, np.nan]], np.float32)
    dataset = series.dataset(stored, (0, 0, 0), BitsAllocated=32, PixelData=None)
    dataset.FloatPixelData = stored.tobytes()
    path = series.save(dataset, "0.dcm")
    message = re.escape("nan at (row 0, col 1)")
    with pytest.raises(ValueError, match=rf"0\.dcm.*{message}"):
        read_dicom(path)
