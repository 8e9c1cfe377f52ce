import numpy as np
import pydicom
import pytest
from dicom_files import AXIAL, SAGITTAL, oblique
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ImplicitVRLittleEndian,
    RLELossless,
)

from invdiff.data import read_dicom

ORIENTATIONS = {
    "axial": AXIAL,
    "sagittal": SAGITTAL,
    "oblique": oblique(AXIAL, 0.4),
    "prone": (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0),
}


def test_affine_equals_hand_computed_values(dicom_series, voxels):
    folder = dicom_series().write(voxels)
    image = read_dicom(folder)
    # LPS (-10, -20, 30) is RAS (10, 20, 30); PixelSpacing is (between rows, between columns)
    expected = [[-0.7, 0, 0, 10], [0, -0.8, 0, 20], [0, 0, 2.5, 30], [0, 0, 0, 1]]
    np.testing.assert_allclose(image.affine, expected, atol=1e-12)
    np.testing.assert_array_equal(image.values, voxels)
    assert (image.modality, image.unit, image.source) == ("CT", "HU", folder)
    np.testing.assert_allclose(image.spacing, (2.5, 0.8, 0.7))


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_every_voxel_lies_where_its_header_says(dicom_series, voxels, world, name):
    folder = dicom_series().write(voxels, cosines=ORIENTATIONS[name])
    image = read_dicom(folder)
    for k, header in enumerate(image.template):
        along_cols, along_rows = np.reshape(header.ImageOrientationPatient, (2, 3)).astype(float)
        origin = np.array(header.ImagePositionPatient, dtype=float)
        lps = origin + 3 * 0.7 * along_cols + 5 * 0.8 * along_rows
        np.testing.assert_allclose(world(image, k, 5, 3), lps * (-1, -1, 1), atol=1e-6)
        source = pydicom.dcmread(folder / f"{_file_of(folder, header)}")
        np.testing.assert_array_equal(image.values[k], source.pixel_array)


def _file_of(folder, header):
    for file in folder.iterdir():
        if pydicom.dcmread(file).SOPInstanceUID == header.SOPInstanceUID:
            return file.name
    raise AssertionError(header.SOPInstanceUID)


def test_shuffled_names_and_instance_numbers_are_sorted_by_position(dicom_series, voxels):
    names = ["e", "a.ima", "z.dcm", "b.dcm", "c.dcm"]
    image = read_dicom(dicom_series().write(voxels, names=names, InstanceNumber=1))
    np.testing.assert_array_equal(image.values, voxels)


def test_order_does_not_depend_on_how_rows_and_columns_run(dicom_series, voxels):
    # columns to the patient's right: the normal points to the feet, the order still to the head
    image = read_dicom(dicom_series().write(voxels, cosines=(-1.0, 0, 0, 0, 1.0, 0)))
    np.testing.assert_array_equal(image.values, voxels[::-1])
    assert image.affine[2, 2] == pytest.approx(2.5)


def test_one_file_is_one_slice_in_its_place(dicom_series, voxels, world):
    folder = dicom_series().write(voxels)
    image, part = read_dicom(folder), read_dicom(folder / "3.dcm")
    np.testing.assert_array_equal(part.values[0], voxels[3])
    np.testing.assert_allclose(world(part, 0, 2, 1), world(image, 3, 2, 1))
    assert part.spacing[0] == 2.5


def test_gantry_tilt_is_kept_in_the_affine(dicom_series, voxels):
    series = dicom_series()
    for k, stored in enumerate(voxels):
        series.save(series.dataset(stored, (0, 0.5 * k, 2 * k)), f"{k}.dcm")
    image = read_dicom(series.folder)
    np.testing.assert_allclose(image.affine[:3, 2], (0, -0.5, 2), atol=1e-12)


def test_rescale_is_applied_slice_by_slice(dicom_series, voxels):
    series = dicom_series()
    for k, stored in enumerate(voxels):
        tags = {"RescaleSlope": 0.5 + k, "RescaleIntercept": -k}
        series.save(series.dataset(stored, (0, 0, k), **tags), f"{k}.dcm")
    expected = voxels * (0.5 + np.arange(5))[:, None, None] - np.arange(5)[:, None, None]
    np.testing.assert_allclose(read_dicom(series.folder).values, expected, rtol=1e-6)


def test_monochrome1_is_inverted_within_the_stored_bits(dicom_series):
    stored = np.array([[0, 1], [4095, 100]], np.uint16)
    tags = {"Modality": "MR", "BitsStored": 12, "HighBit": 11}
    folder = dicom_series().write(stored[None], PhotometricInterpretation="MONOCHROME1", **tags)
    image = read_dicom(folder)
    np.testing.assert_array_equal(image.values[0], [[4095, 4094], [0, 3995]])
    assert (image.modality, image.unit) == ("MR", "arbitrary")


def test_signed_monochrome1_is_inverted(dicom_series):
    stored = np.array([[-32768, 32767]], np.int16)
    tags = {"Modality": "MR", "PhotometricInterpretation": "MONOCHROME1"}
    image = read_dicom(dicom_series().write(stored[None], **tags))
    np.testing.assert_array_equal(image.values[0], [[32767, -32768]])


def test_hounsfield_units_do_not_depend_on_the_display(dicom_series, voxels):
    folder = dicom_series().write(voxels, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read_dicom(folder).values, voxels)


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian])
def test_padding_becomes_air(dicom_series, syntax):
    stored = np.array([[-2000, -1500], [-1400, 30]], np.int16)
    series = dicom_series()
    tags = {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1500}
    dataset = series.dataset(stored, (0, 0, 0), RescaleIntercept=-1024, **tags)
    series.save(dataset, "0.dcm", syntax=syntax)
    image = read_dicom(series.folder)
    np.testing.assert_array_equal(image.values[0], [[-1000, -1000], [-2424, -994]])


def test_padding_is_zero_where_the_unit_is_arbitrary(dicom_series):
    stored = np.array([[65535, 7]], np.uint16)
    tags = {"Modality": "MR", "PixelPaddingValue": 65535, "RescaleIntercept": 5}
    image = read_dicom(dicom_series().write(stored[None], **tags))
    np.testing.assert_array_equal(image.values[0], [[0, 12]])


def test_ct_in_another_unit_is_not_called_hounsfield(dicom_series, voxels):
    image = read_dicom(dicom_series().write(voxels, RescaleType="EDW"))
    assert (image.modality, image.unit) == ("CT", "arbitrary")


def test_other_modalities_keep_their_stored_unit(dicom_series, voxels):
    image = read_dicom(dicom_series().write(voxels, Modality="PT"))
    assert (image.modality, image.unit) == ("other", "arbitrary")


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_transfer_syntaxes(dicom_series, voxels, syntax):
    series = dicom_series()
    series.save(series.dataset(voxels[0], (0, 0, 0)), "0.dcm", syntax=syntax)
    np.testing.assert_array_equal(read_dicom(series.folder).values[0], voxels[0])


def test_rle_compression(dicom_series, voxels):
    series = dicom_series()
    path = series.save(series.dataset(voxels[0], (0, 0, 0)), "0.dcm")
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(path)
    np.testing.assert_array_equal(read_dicom(series.folder).values[0], voxels[0])


def test_overlong_tags_that_are_not_used_are_tolerated(dicom_series, voxels):
    series = dicom_series()
    with pydicom.config.disable_value_validation():
        dataset = series.dataset(voxels[0], (0, 0, 0), StudyID="longer than sixteen characters")
        series.save(dataset, "0.dcm")
    np.testing.assert_array_equal(read_dicom(series.folder).values[0], voxels[0])


def test_hidden_files_and_dicomdir_are_passed_over(dicom_series, voxels):
    folder = dicom_series().write(voxels)
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "DICOMDIR").write_bytes(b"x")
    assert read_dicom(folder).num_slices == 5


def test_templates_hold_no_pixels(dicom_series, voxels):
    image = read_dicom(dicom_series().write(voxels))
    assert len(image.template) == 5
    assert all("PixelData" not in header for header in image.template)
    assert image.template[0].PatientID == "p-1"


def enhanced(series, voxels, order, *, shared_slope):
    """An enhanced CT: geometry and rescale in the functional groups, frames in a given order."""
    dataset = series.dataset(voxels[order], (0, 0, 0), SOPClassUID=EnhancedCTImageStorage)
    dataset.NumberOfFrames = len(order)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        del dataset[keyword]
    del dataset.RescaleSlope, dataset.RescaleIntercept, dataset.SliceThickness
    dataset.SharedFunctionalGroupsSequence = [pydicom.Dataset()]
    shared = dataset.SharedFunctionalGroupsSequence[0]
    shared.PixelMeasuresSequence = [pydicom.Dataset()]
    shared.PixelMeasuresSequence[0].PixelSpacing = [0.8, 0.7]
    shared.PixelMeasuresSequence[0].SliceThickness = 3
    shared.PlaneOrientationSequence = [pydicom.Dataset()]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = list(AXIAL)
    dataset.PerFrameFunctionalGroupsSequence = []
    for k in order:
        frame = pydicom.Dataset()
        frame.PlanePositionSequence = [pydicom.Dataset()]
        frame.PlanePositionSequence[0].ImagePositionPatient = [-10, -20, 30 + 2 * int(k)]
        rescale = pydicom.Dataset()
        rescale.RescaleSlope = 2 if shared_slope else int(k) + 1
        rescale.RescaleIntercept, rescale.RescaleType = -5, "HU"
        if shared_slope:
            shared.PixelValueTransformationSequence = [rescale]
        else:
            frame.PixelValueTransformationSequence = [rescale]
        dataset.PerFrameFunctionalGroupsSequence.append(frame)
    return series.save(dataset, "enhanced.dcm")


@pytest.mark.parametrize("shared_slope", [True, False])
def test_enhanced_multi_frame(dicom_series, voxels, shared_slope):
    path = enhanced(dicom_series(), voxels, np.array([3, 0, 4, 1, 2]), shared_slope=shared_slope)
    image = read_dicom(path)
    slopes = 2 if shared_slope else np.arange(1, 6)[:, None, None]
    np.testing.assert_array_equal(image.values, voxels * slopes - 5.0)
    expected = [[-0.7, 0, 0, 10], [0, -0.8, 0, 20], [0, 0, 2, 30], [0, 0, 0, 1]]
    np.testing.assert_allclose(image.affine, expected, atol=1e-12)
    assert len(image.template) == 5


def test_float_pixels(dicom_series):
    series = dicom_series()
    stored = np.array([[0.25, -1e-3], [7.5, 3]], np.float32)
    dataset = series.dataset(stored, (0, 0, 0), Modality="MR", BitsAllocated=32, PixelData=None)
    dataset.FloatPixelData = stored.astype("<f4").tobytes()
    del dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
    series.save(dataset, "0.dcm")
    np.testing.assert_array_equal(read_dicom(series.folder).values[0], stored)
