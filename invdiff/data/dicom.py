"""Read DICOM images, and write results as a derived series.

What is read: CT, MR and other grey-valued images with a place in the patient, one file or a folder
that holds one series, classic or enhanced (multi-frame), in any transfer syntax for which pydicom
finds a decoder.

Values are ``stored * RescaleSlope + RescaleIntercept``. Pixels that equal PixelPaddingValue (or lie
between it and PixelPaddingRangeLimit) become -1000 in HU images, 0 in others. MONOCHROME1 images
are inverted within the range of the stored bits, except HU, which are physical numbers whatever
the display does with them. A CT whose RescaleType isn't HU has arbitrary units.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from invdiff.data._dicom_frames import read_frames
from invdiff.data._dicom_series import patient_affine, sorted_series
from invdiff.data._dicom_writer import write_dicom
from invdiff.data.image import Image, Modality

__all__ = ["read_dicom", "read_series", "write_dicom"]


def read_dicom(path: str | os.PathLike[str]) -> Image:
    """Read one DICOM file, or all files of a folder as one series.

    Slices are sorted by position, towards the patient's left, back or head. A file alone gives the
    planes in it. Hidden files and a DICOMDIR in a folder are passed over; sub-folders are not
    entered.

    Raises:
        ValueError: One line that names the file: missing, not DICOM, damaged or truncated, without
            geometry, or compressed without a decoder; or the files: several series, duplicates, a
            missing slice.
    """
    path = Path(path)
    return read_series(_files(path), source=path)


def read_series(files: Iterable[Path], *, source: Path) -> Image:
    """Read files as one series, wherever they lie.

    Args:
        files: Of the series, in any order.
        source: What the image is said to be read from.

    Raises:
        ValueError: As for ``read_dicom``.
    """
    frames = [frame for file in files for frame in read_frames(file)]
    ordered = sorted_series(frames)
    modality: Modality = "other"
    if ordered[0].modality == "CT":
        modality = "CT"
    elif ordered[0].modality == "MR":
        modality = "MR"
    return Image(
        values=np.stack([frame.values for frame in ordered]),
        affine=patient_affine(ordered),
        modality=modality,
        unit="HU" if ordered[0].hounsfield else "arbitrary",
        source=source,
        template=tuple(frame.header for frame in ordered),
    )


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = [
        file
        for file in sorted(path.iterdir())
        if file.is_file() and not file.name.startswith(".") and file.name != "DICOMDIR"
    ]
    if not files:
        raise ValueError(f"{path}: no files in this folder; give the folder of one DICOM series")
    return files
