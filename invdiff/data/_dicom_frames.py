"""The image planes of one DICOM file: values in physical units, and where each lies."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError

from invdiff.data._dicom_pixels import physical_values, stored_pixels

__all__ = ["Frame", "read_frames", "tolerant"]


@dataclass(frozen=True, eq=False)
class Frame:
    """One plane. Lengths in mm; positions and cosines in the patient system of DICOM, LPS."""

    values: NDArray[np.float32]
    position: NDArray[np.float64]
    cosines: NDArray[np.float64]
    spacing: NDArray[np.float64]
    thickness: float
    modality: str
    hounsfield: bool
    series: str
    instance: str
    header: Any
    name: str


@contextmanager
def tolerant() -> Iterator[None]:
    """Let pydicom read and copy tags that break their own format, such as an overlong ID.

    Scanners write many. Every tag that decides values or geometry is checked here instead.
    """
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.filterwarnings("ignore", module="pydicom")
        yield


def read_frames(path: Path) -> list[Frame]:
    """Read the planes of one file, in the order in which the file has them.

    Raises:
        ValueError: Not DICOM, damaged, without geometry, or of a kind that isn't an image.
    """
    with tolerant():
        dataset = _read_dataset(path)
        _check_kind(dataset, path)
        pixels = stored_pixels(dataset, path)
        count = len(pixels)
        if count > 1 and "PerFrameFunctionalGroupsSequence" not in dataset:
            raise ValueError(f"{path}: {count} frames without a position for each")
        header = _without_pixels(dataset)
        return [_frame(dataset, header, pixels[i], i, path) for i in range(count)]


def _read_dataset(path: Path) -> Any:
    try:
        dataset = pydicom.dcmread(path)
        # values are parsed on first use: parse them all while a damaged one can still be named
        for _ in dataset.iterall():
            pass
    except InvalidDicomError:
        raise ValueError(f"{path}: not a DICOM file") from None
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    # a parser of damaged bytes fails in too many ways to list
    except Exception as error:
        raise ValueError(f"{path}: damaged DICOM file ({error})") from error
    return dataset


def _check_kind(dataset: Any, path: Path) -> None:
    pixel_keywords = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
    if not any(keyword in dataset for keyword in pixel_keywords):
        raise ValueError(f"{path}: no pixel data (truncated, or not an image)")
    if "TransferSyntaxUID" not in dataset.file_meta:
        raise ValueError(f"{path}: damaged DICOM file (no TransferSyntaxUID)")
    if dataset.get("SamplesPerPixel", 1) != 1:
        raise ValueError(f"{path}: expected one value a pixel, got a colour image")
    if "ModalityLUTSequence" in dataset:
        raise ValueError(f"{path}: values through a modality lookup table are not supported")


def _without_pixels(dataset: Any) -> Any:
    header = pydicom.Dataset()
    bulky = {0x5400, 0x7FE0, *range(0x6000, 0x6100)}  # waveforms, pixels, overlays
    header.update({element.tag: element for element in dataset if element.tag.group not in bulky})
    return header


def _frame(dataset: Any, header: Any, stored: NDArray[Any], index: int, path: Path) -> Frame:
    enhanced = "PerFrameFunctionalGroupsSequence" in dataset
    name = f"{path} frame {index + 1}" if enhanced else f"{path}"

    def numbers(macro: str, keyword: str, count: int, default: float | None = None) -> Any:
        return _numbers(_attribute(dataset, index, macro, keyword), keyword, count, default, name)

    slope = numbers("PixelValueTransformationSequence", "RescaleSlope", 1, 1.0)
    intercept = numbers("PixelValueTransformationSequence", "RescaleIntercept", 1, 0.0)
    kind = _attribute(dataset, index, "PixelValueTransformationSequence", "RescaleType")
    thickness = numbers("PixelMeasuresSequence", "SliceThickness", 1, 1.0)
    gap = numbers("PixelMeasuresSequence", "SpacingBetweenSlices", 1, 0.0)
    modality = str(dataset.get("Modality", ""))
    hounsfield = modality == "CT" and kind in (None, "", "HU")
    cosines = numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6)
    spacing = numbers("PixelMeasuresSequence", "PixelSpacing", 2)
    _check_plane(cosines, spacing, slope[0], name)
    return Frame(
        values=physical_values(dataset, stored, slope[0], intercept[0], hounsfield, name),
        position=numbers("PlanePositionSequence", "ImagePositionPatient", 3),
        cosines=cosines,
        spacing=spacing,
        # some vendors write a negative spacing for a reversed order
        thickness=abs(gap[0]) or abs(thickness[0]) or 1.0,
        modality=modality,
        hounsfield=hounsfield,
        series=str(dataset.get("SeriesInstanceUID", "")),
        instance=f"{dataset.get('SOPInstanceUID', '')} {index}",
        header=header,
        name=name,
    )


def _attribute(dataset: Any, index: int, macro: str, keyword: str) -> Any:
    """Look a tag up where an enhanced file may have it: in the frame, the shared part, the top."""
    groups = []
    if "PerFrameFunctionalGroupsSequence" in dataset:
        groups += list(dataset.PerFrameFunctionalGroupsSequence[index : index + 1])
    if "SharedFunctionalGroupsSequence" in dataset:
        groups += list(dataset.SharedFunctionalGroupsSequence[:1])
    for group in groups:
        sequence = group.get(macro)
        if sequence and keyword in sequence[0]:
            return sequence[0].get(keyword)
    return dataset.get(keyword)


def _numbers(
    value: Any, keyword: str, count: int, default: float | None, name: str
) -> NDArray[np.float64]:
    if value is None or value == "":
        if default is None:
            raise ValueError(f"{name}: no {keyword}; the place in the patient is unknown")
        return np.full(count, default)
    try:
        numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError):
        raise ValueError(f"{name}: {keyword} is not a number: {value!r}") from None
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise ValueError(f"{name}: {keyword}: expected {count} finite numbers, got {value}")
    return numbers


def _check_plane(
    cosines: NDArray[np.float64], spacing: NDArray[np.float64], slope: float, name: str
) -> None:
    row, col = cosines.reshape(2, 3)
    gram = np.array([row @ row, col @ col, row @ col])
    if np.abs(gram - (1, 1, 0)).max() > 1e-3:
        raise ValueError(
            f"{name}: ImageOrientationPatient: expected two perpendicular unit vectors, "
            f"got {cosines.tolist()}"
        )
    if spacing.min() <= 0:
        raise ValueError(f"{name}: PixelSpacing: expected positive lengths, got {spacing.tolist()}")
    if slope == 0:
        raise ValueError(f"{name}: RescaleSlope is 0: every value is lost")
