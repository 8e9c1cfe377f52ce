import numpy as np
import pydicom
import pytest

from invdiff.data import fit, list_samples, orient, read_dicom, read_scan, sample_path

# every tag that a shipped file may have: nothing about the person, the place or the time
_ALLOWED = """
    SpecificCharacterSet ImageType SOPClassUID SOPInstanceUID Modality Manufacturer
    ManufacturerModelName StudyDescription SeriesDescription PatientIdentityRemoved
    DeidentificationMethod DeidentificationMethodCodeSequence BodyPartExamined ScanningSequence
    SequenceVariant ScanOptions SliceThickness KVP DataCollectionDiameter
    ReconstructionDiameter SpacingBetweenSlices DistanceSourceToDetector
    DistanceSourceToPatient GantryDetectorTilt RotationDirection ExposureTime XRayTubeCurrent
    Exposure FilterType FocalSpots ConvolutionKernel PatientPosition StudyInstanceUID
    SeriesInstanceUID SeriesNumber AcquisitionNumber InstanceNumber ImagePositionPatient
    ImageOrientationPatient FrameOfReferenceUID PositionReferenceIndicator SliceLocation
    SamplesPerPixel PhotometricInterpretation Rows Columns PixelSpacing BitsAllocated
    BitsStored HighBit PixelRepresentation RescaleIntercept RescaleSlope PixelData CodeValue
    CodingSchemeDesignator CodeMeaning
"""
# there because DICOM asks for them, and empty
_EMPTY = """
    StudyDate StudyTime AccessionNumber ReferringPhysicianName StudyID PatientBirthDate
    PatientSex MRAcquisitionType EchoTime EchoTrainLength RepetitionTime
"""
SERIES = ["head-t1", "sts-044"]
ALLOWED, EMPTY = frozenset(_ALLOWED.split()), frozenset(_EMPTY.split())


def test_names():
    assert list_samples() == ["brain-8coil", *SERIES]
    with pytest.raises(ValueError, match="of brain-8coil, head-t1, sts-044, got 'x'"):
        sample_path("x")


@pytest.mark.parametrize(
    ("name", "shape", "spacing", "unit", "limits"),
    [
        ("sts-044", (5, 216, 234), (3.27, 0.976562, 0.976562), "HU", (-1000, 1346)),
        ("head-t1", (5, 384, 274), (0.666667, 0.666667, 0.699988), "arbitrary", (0, 162)),
    ],
)
def test_content(name, shape, spacing, unit, limits):
    image = read_dicom(sample_path(name))
    assert (image.values.shape, image.unit) == (shape, unit)
    np.testing.assert_allclose(image.spacing, spacing, rtol=1e-5)
    assert (image.values.min(), image.values.max()) == limits
    # both are stored as they are viewed
    np.testing.assert_array_equal(orient(image).values, image.values)
    assert fit(image, 256).values.shape == (5, 256, 256)


def test_kspace():
    kspace = read_scan(sample_path("brain-8coil"))
    assert kspace.data.shape == (1, 8, 230, 180)
    assert kspace.mask.mean() == pytest.approx(0.1243, abs=1e-4)
    # the largest sample is that of the image's mean, in the centre
    peak = np.unravel_index(np.abs(kspace.data[0]).sum(0).argmax(), kspace.mask.shape)
    assert np.abs(np.subtract(peak, (115, 90))).max() <= 1


@pytest.mark.parametrize("name", SERIES)
def test_no_tag_identifies_a_person(name):
    for file in sample_path(name).iterdir():
        dataset = pydicom.dcmread(file)
        for element in dataset.iterall():
            assert not element.tag.is_private
            if element.keyword in ("PatientName", "PatientID"):
                assert element.value == name
            elif element.keyword in EMPTY:
                assert element.value in ("", None)
            else:
                assert element.keyword in ALLOWED, element
        assert dataset.PatientIdentityRemoved == "YES"
        # valid: it can be written back under strict checks
        with pydicom.config.strict_reading():
            pydicom.dcmread(file).walk(lambda _, element: element.value)
