"""Small DICOM series, written by pydicom and not by the code under test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

# columns to the patient's left, rows to the back
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
# columns to the back, rows to the feet
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def oblique(cosines: tuple[float, ...], angle: float) -> tuple[float, ...]:
    """Turn both directions about an axis that is none of the patient's."""
    axis = np.array([1.0, 2.0, 3.0]) / np.sqrt(14)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return tuple(float(x) for x in np.concatenate([turn @ cosines[:3], turn @ cosines[3:]]))


class DicomSeries:
    """Writes a CT series slice by slice; every tag can be overridden."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.series = generate_uid(entropy_srcs=["series"])

    def dataset(self, stored: np.ndarray, position: Any, **tags: Any) -> pydicom.Dataset:
        dataset = pydicom.Dataset()
        dataset.SOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[str(position), str(self.folder)])
        dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
        dataset.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame"])
        dataset.SeriesInstanceUID = self.series
        dataset.Modality = "CT"
        dataset.PatientID, dataset.PatientName = "p-1", "Test^Patient"
        dataset.StudyDate = "20200101"
        dataset.SeriesNumber = 3
        dataset.SliceThickness = 2.5
        dataset.ImagePositionPatient = [round(float(x), 9) for x in position]
        dataset.ImageOrientationPatient = list(AXIAL)
        dataset.PixelSpacing = [0.8, 0.7]
        dataset.Rows, dataset.Columns = stored.shape[-2:]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit = 15
        dataset.PixelRepresentation = int(stored.dtype.kind == "i")
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
        dataset.PixelData = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
        dataset["PixelData"].VR = "OW"
        for keyword, value in tags.items():
            if value is None:
                del dataset[keyword]
            else:
                setattr(dataset, keyword, value)
        return dataset

    def save(self, dataset: pydicom.Dataset, name: str, *, syntax: str | None = None) -> Path:
        self.folder.mkdir(exist_ok=True)
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax or ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        implicit = syntax == ImplicitVRLittleEndian
        path = self.folder / name
        pydicom.dcmwrite(
            path, dataset, implicit_vr=implicit, little_endian=True, enforce_file_format=True
        )
        return path

    def write(
        self,
        values: np.ndarray,
        *,
        cosines: tuple[float, ...] = AXIAL,
        origin: tuple[float, ...] = (-10.0, -20.0, 30.0),
        step: float = 2.5,
        names: list[str] | None = None,
        **tags: Any,
    ) -> Path:
        """Slices along the normal of the cosines; ``names[k]`` is the file of slice k."""
        normal = np.cross(cosines[:3], cosines[3:])
        for k, stored in enumerate(values):
            position = np.asarray(origin) + k * step * normal
            dataset = self.dataset(
                stored,
                position,
                **{"ImageOrientationPatient": [round(c, 12) for c in cosines], **tags},
            )
            self.save(dataset, names[k] if names else f"{k}.dcm")
        return self.folder
