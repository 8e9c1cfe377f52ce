"""Write volumes in their place in the patient."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from invdiff.data import Image, write_dicom, write_nifti

__all__ = ["write_volumes"]


def write_volumes(folder: Path, images: Mapping[str, Image]) -> None:
    """Write ``volumes/NAME.nii.gz``, and ``dicom/NAME/`` where the image came from DICOM.

    Args:
        folder: Where to.
        images: By name, printable ASCII; nothing is written without any.
    """
    for name, image in images.items():
        path = folder / "volumes" / f"{name}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        write_nifti(image, path, overwrite=True)
        if isinstance(image.template, tuple):
            series = folder / "dicom" / name
            series.parent.mkdir(exist_ok=True)
            write_dicom(image, series, description=name, overwrite=True)
