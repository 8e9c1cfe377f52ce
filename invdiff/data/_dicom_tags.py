"""The tags of a derived DICOM image: what it keeps of its source, and what it says of itself."""

from __future__ import annotations

from typing import Any

import pydicom
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from invdiff.data.image import Modality

__all__ = ["derived_dataset"]

# what a derived image shares with its source: patient, study, frame of reference, acquisition
_KEPT = [
    "SpecificCharacterSet",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyDescription",
    "StudyInstanceUID",
    "StudyID",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "PatientPosition",
    "BodyPartExamined",
    "Laterality",
    "AcquisitionNumber",
    "AcquisitionDate",
    "AcquisitionTime",
    "KVP",
    "ScanningSequence",
    "SequenceVariant",
    "ScanOptions",
    "MRAcquisitionType",
    "RepetitionTime",
    "EchoTime",
    "EchoTrainLength",
    "InversionTime",
    "MagneticFieldStrength",
    "FlipAngle",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
]
# tags that must be there, empty when unknown (type 2 of the modules that are written)
_REQUIRED = [
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "PositionReferenceIndicator",
    "PatientPosition",
    "AcquisitionNumber",
]
_REQUIRED_BY_MODALITY: dict[str, tuple[str, ...]] = {
    "CT": ("KVP",),
    "MR": ("ScanOptions", "MRAcquisitionType", "EchoTime", "EchoTrainLength", "RepetitionTime"),
    "other": (),
}
# storage class and the third value of ImageType
_STORAGE = {
    "CT": ("1.2.840.10008.5.1.4.1.1.2", ["AXIAL"]),
    "MR": ("1.2.840.10008.5.1.4.1.1.4", ["OTHER"]),
    "other": ("1.2.840.10008.5.1.4.1.1.7", []),
}


def derived_dataset(
    header: Any, modality: Modality, description: str, series: str, index: int
) -> Any:
    """Return a Dataset that lacks only the plane and its values.

    Args:
        header: Dataset of the source slice.
        modality: Chooses the storage class: CT, MR, or secondary capture.
        description: What was done.
        series: SeriesInstanceUID of the new series.
        index: Number of the slice, from 0.
    """
    dataset = pydicom.Dataset()
    dataset.update({header[key].tag: header[key] for key in _KEPT if key in header})
    for keyword in (*_REQUIRED, *_REQUIRED_BY_MODALITY[modality]):
        if keyword not in dataset:
            setattr(dataset, keyword, None)
    _set_identity(dataset, header, modality, series, index)
    _set_source(dataset, header)
    dataset.SeriesDescription = description.strip()[:64].strip()
    dataset.DerivationDescription = description.strip()
    dataset.Manufacturer = dataset.ManufacturerModelName = "invdiff"
    if modality == "MR":
        # "RM": research mode, the standard's word for a sequence that the tags don't describe
        dataset.ScanningSequence = dataset.get("ScanningSequence") or "RM"
        dataset.SequenceVariant = dataset.get("SequenceVariant") or "NONE"
    if modality == "other":
        dataset.ConversionType = "WSD"
    return dataset


def _set_identity(dataset: Any, header: Any, modality: Modality, series: str, index: int) -> None:
    storage, kind = _STORAGE[modality]
    dataset.SOPClassUID = storage
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[series, str(index)])
    dataset.SeriesInstanceUID = series
    dataset.ImageType = ["DERIVED", "SECONDARY", *kind]
    dataset.Modality = str(header.get("Modality") or "OT")  # codespell:ignore
    # past the numbers that scanners give, so that viewers list it after its source
    dataset.SeriesNumber = 9000 + int(header.get("SeriesNumber") or 0) % 1000
    dataset.InstanceNumber = index + 1
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = storage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID


def _set_source(dataset: Any, header: Any) -> None:
    if "SOPInstanceUID" not in header or "SOPClassUID" not in header:
        return
    source = pydicom.Dataset()
    source.ReferencedSOPClassUID = header.SOPClassUID
    source.ReferencedSOPInstanceUID = header.SOPInstanceUID
    dataset.SourceImageSequence = [source]
