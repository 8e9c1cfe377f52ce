"""The series among DICOM files that lie about in any folders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom

from invdiff.data._dicom_frames import tolerant

__all__ = ["SeriesFiles", "group_series"]

_TAGS = (
    "ImageOrientationPatient",
    "ImageType",
    "Modality",
    "PatientID",
    "Rows",
    "SeriesDescription",
    "SeriesInstanceUID",
    "SharedFunctionalGroupsSequence",
)
# have rows and columns and a place, but no grey values of a patient
_NOT_IMAGES = ("SEG", "REG")


@dataclass(frozen=True)
class SeriesFiles:
    """The files of one series.

    Args:
        files: One or more.
        patient: PatientID; "" if there is none.
        modality: As the files say, such as "CT".
        description: SeriesDescription; "" if there is none.
    """

    files: tuple[Path, ...]
    patient: str = ""
    modality: str = ""
    description: str = ""


def group_series(files: Iterable[Path]) -> tuple[list[SeriesFiles], int]:
    """Group files by patient and SeriesInstanceUID, from their headers alone.

    Without a UID those of one folder are a series. Scouts, doses, segmentations, reports and what
    has no place in the patient are passed over; a damaged file is a series of its own, which its
    reader will refuse.

    Args:
        files: Sorted; those of a series keep their order.

    Returns:
        The series in the order of their first file, and how many files were passed over.
    """
    groups: dict[tuple[str, str], list[tuple[Path, Any]]] = {}
    others = 0
    for file in files:
        header = _header(file)
        if header is not None and not _is_image(header):
            others += 1
            continue
        groups.setdefault(_key(file, header), []).append((file, header))
    return [_series(members) for members in groups.values()], others


def _header(file: Path) -> Any:
    try:
        with tolerant():
            return pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
    # no DICOM, or damaged: a parser of damaged bytes fails in too many ways to list
    except Exception:
        return None


def _is_image(header: Any) -> bool:
    modality = _text(header, "Modality")
    placed = "ImageOrientationPatient" in header or "SharedFunctionalGroupsSequence" in header
    scout = "LOCALIZER" in (header.get("ImageType") or ())
    return (
        "Rows" in header
        and placed
        and not scout
        and modality not in _NOT_IMAGES
        and not modality.startswith("RT")
    )


def _key(file: Path, header: Any) -> tuple[str, str]:
    if header is None:
        return "", str(file)
    return _text(header, "PatientID"), _text(header, "SeriesInstanceUID") or str(file.parent)


def _series(members: list[tuple[Path, Any]]) -> SeriesFiles:
    files, header = tuple(file for file, _ in members), members[0][1]
    if header is None:
        return SeriesFiles(files)
    words = (_text(header, key) for key in ("PatientID", "Modality", "SeriesDescription"))
    return SeriesFiles(files, *words)


def _text(header: Any, keyword: str) -> str:
    return str(header.get(keyword) or "").strip()
