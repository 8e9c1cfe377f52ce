"""Read whatever a path holds."""

from __future__ import annotations

import os
from pathlib import Path

import h5py

from invdiff.data.arrays import Array, read_array
from invdiff.data.dicom import read_dicom
from invdiff.data.fastmri import read_fastmri
from invdiff.data.image import Image, Modality
from invdiff.data.kspace import KSpace, kspace_from_array
from invdiff.data.mrd import find_ismrmrd_group, read_ismrmrd
from invdiff.data.nifti import read_nifti

__all__ = ["read_scan", "scan_kind"]

_KNOWN = "a DICOM file or folder, .nii, .nii.gz, .npy, .npz, fastMRI or ISMRMRD HDF5"


def read_scan(
    path: str | os.PathLike[str], *, modality: Modality | None = None, key: str | None = None
) -> Image | KSpace | Array:
    """Read a file or folder by what it contains, whatever its name.

    A folder is a DICOM series. A complex ``.npy`` or ``.npz`` array of three or four dimensions is
    k-space, (coils, rows, cols) or (slices, coils, rows, cols); any other is an ``Array``.

    Args:
        path: The file or folder.
        modality: What a NIfTI file holds, which doesn't say it (``"other"`` by default); for other
            formats it must be what the file says.
        key: The array to read of an ``.npz`` file.

    Raises:
        ValueError: One line: no such file, a type that isn't known, an argument that doesn't apply,
            or what the reader of the format finds wrong.
    """
    path = Path(path)
    kind = scan_kind(path)
    if key is not None and kind != "array":
        raise ValueError(f"{path}: a key applies to .npz files only, got {key!r}")
    scan = _read(path, kind, modality, key)
    found = _modality(scan)
    if modality not in (None, found):
        raise ValueError(f"{path}: got modality {modality!r}, the file holds {found or 'an array'}")
    return scan


def _read(
    path: Path, kind: str, modality: Modality | None, key: str | None
) -> Image | KSpace | Array:
    if kind == "dicom":
        return read_dicom(path)
    if kind == "nifti":
        return read_nifti(path, modality=modality or "other")
    if kind == "hdf5":
        return _read_hdf5(path)
    array = read_array(path, key=key)
    if array.values.dtype.kind == "c" and array.values.ndim in (3, 4):
        return kspace_from_array(array.values, source=path)
    return array


def _modality(scan: Image | KSpace | Array) -> Modality | None:
    if isinstance(scan, Image):
        return scan.modality
    return "MR" if isinstance(scan, KSpace) else None


def scan_kind(path: Path) -> str:
    """Say by what a path contains how it is read: "dicom", "nifti", "hdf5" or "array".

    Raises:
        ValueError: No such path, or a type that isn't known.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    if path.is_dir():
        return "dicom"
    with path.open("rb") as file:
        start = file.read(352)
    if start[128:132] == b"DICM" or path.suffix.lower() in (".dcm", ".ima"):
        return "dicom"
    if start[344:347] in (b"n+1", b"ni1") or path.name.lower().endswith((".nii", ".nii.gz")):
        return "nifti"
    if start[:4] == b"\x89HDF" or path.suffix.lower() in (".h5", ".hdf5", ".mrd"):
        return "hdf5"
    if start[:6] == b"\x93NUMPY" or path.suffix.lower() in (".npy", ".npz"):
        return "array"
    raise ValueError(f"{path}: unknown type of file; expected {_KNOWN}")


def _read_hdf5(path: Path) -> KSpace:
    try:
        with h5py.File(path, "r") as file:
            keys = list(file)
            is_ismrmrd = find_ismrmrd_group(file) is not None
    except OSError as error:
        raise ValueError(f"{path}: not a readable HDF5 file ({error})") from error
    if "kspace" in keys:
        return read_fastmri(path)
    if is_ismrmrd:
        return read_ismrmrd(path)
    raise ValueError(f"{path}: neither fastMRI (kspace) nor ISMRMRD (xml, data): holds {keys[:5]}")
