"""Read and write NIfTI images (.nii, .nii.gz)."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from invdiff.data.finite import to_float32
from invdiff.data.image import AXES, Image, Modality
from invdiff.data.output import new_file

__all__ = ["read_nifti", "write_nifti"]

_MM_PER_UNIT = {"mm": 1.0, "unknown": 1.0, "meter": 1000.0, "micron": 0.001}
# cosine between axes above which the quaternion form of NIfTI, rotations only, can't hold them
_PERPENDICULAR = 1e-5
# bytes decompressed at a time, so that checking a file takes no memory
_CHUNK = 2**22


def read_nifti(path: str | os.PathLike[str], *, modality: Modality = "other") -> Image:
    """Read a 2D or 3D image; its third axis becomes the slices, and the affine is kept.

    Args:
        path: A ``.nii`` or ``.nii.gz`` file. A header that gives lengths in metres or microns is
            converted to mm.
        modality: NIfTI doesn't say it. ``"CT"`` means that the values are HU.

    Raises:
        ValueError: One line that names the file: missing, not NIfTI, truncated, more than three
            dimensions, colour or complex values, or values that are not finite.
    """
    path = Path(path)
    image, stored = _load(path)
    if stored.dtype.names is not None or stored.dtype.kind not in "biuf":
        raise ValueError(f"{path}: expected one real number a voxel, got {stored.dtype}")
    affine = np.array(image.affine, dtype=np.float64)
    unit = image.header.get_xyzt_units()[0]
    affine[:3] *= _MM_PER_UNIT[unit]
    try:
        return Image(
            values=to_float32(_as_slices(stored, path), str(path), AXES),
            affine=affine,
            modality=modality,
            unit="HU" if modality == "CT" else "arbitrary",
            source=path,
            template=image.header.copy(),
        )
    except ValueError as error:
        # the affine is checked by Image, which doesn't know the file
        raise ValueError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


def write_nifti(image: Image, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write float32 values with the affine of the image; the same image gives the same bytes.

    The other fields of the header are those of the NIfTI file that the image came from, if it did.

    Raises:
        ValueError: The name doesn't end in ``.nii`` or ``.nii.gz``, its folder is missing, or the
            file exists and ``overwrite`` is not set.
    """
    path = Path(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise ValueError(f"{path}: expected a name that ends in .nii or .nii.gz")
    nifti = nib.Nifti1Image(image.values.transpose(), image.affine, _header(image))
    space = _space_code(image)
    nifti.set_sform(image.affine, code=space)
    nifti.set_qform(image.affine, code=space if _is_rotation(image.affine) else 0)
    with new_file(path, overwrite=overwrite) as partial:
        nib.save(nifti, partial)


def _load(path: Path) -> tuple[Any, NDArray[Any]]:
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        _check_compression(path)
        image = nib.load(path)
        if not isinstance(image, nib.Nifti1Image):
            raise ValueError(f"expected NIfTI, got {type(image).__name__}")
        return image, np.asanyarray(image.dataobj)
    # decompression and parsing of damaged bytes fail in too many ways to list
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: not a readable NIfTI file ({reason})") from error


def _check_compression(path: Path) -> None:
    # nibabel stops at the last voxel, before the checksum that tells a damaged or cut-off file
    if path.suffix == ".gz":
        with gzip.open(path) as stream:
            while stream.read(_CHUNK):
                pass


def _as_slices(stored: NDArray[Any], path: Path) -> NDArray[Any]:
    """Shape (slices, rows, cols) from NIfTI's (cols, rows[, slices[, 1, ...]])."""
    if stored.ndim < 2 or any(length != 1 for length in stored.shape[3:]):
        raise ValueError(f"{path}: expected a 2D or 3D image, got shape {stored.shape}")
    return stored.reshape(*stored.shape[:2], -1).transpose()


def _header(image: Image) -> Any:
    known = isinstance(image.template, nib.Nifti1Header)
    header = image.template.copy() if known else nib.Nifti1Header()
    header.set_data_dtype(np.float32)
    header.set_xyzt_units("mm")
    # the display range of the input says nothing about a result
    header["cal_min"] = header["cal_max"] = 0
    return header


def _space_code(image: Image) -> int:
    """What the world is: scanner (1) unless the input said another, such as MNI."""
    if isinstance(image.template, nib.Nifti1Header):
        return int(image.template["sform_code"]) or int(image.template["qform_code"]) or 1
    return 1


def _is_rotation(affine: NDArray[np.float64]) -> bool:
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    off = directions.T @ directions - np.eye(3)
    return bool(np.abs(off).max() < _PERPENDICULAR)
