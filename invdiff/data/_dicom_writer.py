"""Write an image as a derived DICOM series."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid
from pydicom.valuerep import format_number_as_ds

from invdiff.data._dicom_frames import tolerant
from invdiff.data._dicom_series import LPS_TO_RAS
from invdiff.data._dicom_tags import derived_dataset
from invdiff.data.image import Image
from invdiff.data.output import new_folder

__all__ = ["write_dicom"]

_INT16 = np.iinfo(np.int16)
# cosine between rows and columns above which DICOM cannot hold the plane
_PERPENDICULAR = 1e-4


def write_dicom(
    image: Image, folder: str | os.PathLike[str], *, description: str, overwrite: bool = False
) -> None:
    """Write one file a slice, as a new series of the study that the image came from.

    Patient, study and frame of reference are those of ``image.template``; the position comes from
    the affine, so the size and the order of the slices may differ from the input. Values are
    stored in int16, exactly where they are integers that fit; otherwise to within half a step of
    1/65534 of their range. All identifiers derive from the content: the same image and description
    give the same bytes.

    Args:
        image: With the headers that ``read_dicom`` gave it.
        folder: A new or empty folder; its parent must exist.
        description: Becomes SeriesDescription (its first 64 characters) and
            DerivationDescription. Printable ASCII without a backslash.
        overwrite: Replace all files of a folder that holds only ``.dcm`` files.

    Raises:
        ValueError: No DICOM headers, a sheared image plane, a description that DICOM cannot hold,
            or a folder that is in use.
    """
    headers = _headers(image)
    _check_description(description)
    cosines, spacing = _plane(image)
    stored, slope, intercept = _quantised(image.values)
    series = _series_uid(image, description)
    gap = _slice_distance(image)
    with tolerant(), new_folder(Path(folder), overwrite=overwrite, suffix=".dcm") as partial:
        for index, header in enumerate(headers):
            dataset = derived_dataset(header, image.modality, description, series, index)
            dataset.ImagePositionPatient = _decimals(_position(image, index))
            dataset.ImageOrientationPatient = _decimals(cosines)
            dataset.PixelSpacing = _decimals(spacing)
            dataset.SliceThickness = header.get("SliceThickness") or format_number_as_ds(gap)
            dataset.SpacingBetweenSlices = format_number_as_ds(gap)
            _set_pixels(dataset, stored[index], slope, intercept)
            _set_meaning(dataset, image)
            name = partial / f"slice-{index + 1:04d}.dcm"
            dataset.save_as(name, enforce_file_format=True)


def _headers(image: Image) -> list[Any]:
    template = image.template
    if not isinstance(template, tuple) or len(template) not in (1, image.num_slices):
        raise ValueError(
            "write_dicom: the image has no DICOM headers to derive from; write it as NIfTI"
        )
    return list(template) if len(template) == image.num_slices else [template[0]] * image.num_slices


def _check_description(description: str) -> None:
    text = description.strip()
    plain = text.isascii() and text.isprintable() and "\\" not in text
    if not plain or not 0 < len(text) <= 1024:
        raise ValueError(
            "description: expected 1 to 1024 printable ASCII characters without a backslash, "
            f"got {description!r}"
        )


def _plane(image: Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ImageOrientationPatient (6,) and PixelSpacing (row, col) in mm."""
    directions = LPS_TO_RAS @ image.affine[:3, :3]
    lengths = np.linalg.norm(directions, axis=0)
    directions = directions / lengths
    if abs(directions[:, 0] @ directions[:, 1]) > _PERPENDICULAR:
        raise ValueError("write_dicom: rows and columns are not perpendicular; write it as NIfTI")
    return directions[:, :2].T.ravel(), lengths[[1, 0]]


def _position(image: Image, index: int) -> NDArray[np.float64]:
    position: NDArray[np.float64] = LPS_TO_RAS @ (image.affine @ (0, 0, index, 1))[:3]
    return position


def _slice_distance(image: Image) -> float:
    """Distance of neighbouring planes along their normal; less than the step in a tilted stack."""
    along_cols, along_rows, step = image.affine[:3, :3].T
    normal = np.cross(along_cols, along_rows)
    return float(abs(normal @ step) / np.linalg.norm(normal))


def _decimals(numbers: NDArray[np.float64]) -> list[str]:
    return [format_number_as_ds(float(number)) for number in numbers]


def _quantised(values: NDArray[np.float32]) -> tuple[NDArray[np.int16], str, str]:
    """Stored int16 values, slope and intercept, as text of at most 16 characters."""
    low, high = float(values.min()), float(values.max())
    exact = bool((values == np.rint(values)).all())
    if exact and low >= _INT16.min and high <= _INT16.max:
        slope, intercept = 1.0, 0.0
    elif exact and high - low <= _INT16.max - _INT16.min:
        slope, intercept = 1.0, low - _INT16.min
    else:
        slope, intercept = (high - low) / 65534 or 1.0, low + (high - low) / 2
    # divide by what will be read back, not by the number before it became text
    texts = format_number_as_ds(slope), format_number_as_ds(intercept)
    stored = np.rint((values.astype(np.float64) - float(texts[1])) / float(texts[0]))
    return np.clip(stored, _INT16.min, _INT16.max).astype("<i2"), *texts


def _series_uid(image: Image, description: str) -> str:
    digest = hashlib.blake2b(np.ascontiguousarray(image.values).tobytes())
    digest.update(image.affine.tobytes())
    source = str(image.template[0].get("SeriesInstanceUID", ""))
    return generate_uid(entropy_srcs=[digest.hexdigest(), description, source])


def _set_pixels(dataset: Any, stored: NDArray[np.int16], slope: str, intercept: str) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 1
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    dataset.add_new("PixelData", "OW", stored.tobytes())


def _set_meaning(dataset: Any, image: Image) -> None:
    """Say the unit, and a window that shows the whole series alike."""
    dataset.RescaleType = "HU" if image.unit == "HU" else "US"
    low, high = np.percentile(image.values, (1, 99))
    dataset.WindowCenter = format_number_as_ds(round(float(low + high) / 2, 6))
    # the standard wants a width of at least 1 only for the linear window; so a flat image gets it
    dataset.WindowWidth = format_number_as_ds(round(float(high - low), 6) or 1.0)
