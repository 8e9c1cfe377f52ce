"""K-space in the HDF5 layout of the fastMRI data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from invdiff.data._encoding import parse_encoding
from invdiff.data.finite import to_complex64, to_float32
from invdiff.data.kspace import KSPACE_AXES, KSpace, sampled_locations

__all__ = ["read_fastmri"]

_REFERENCES = ("reconstruction_rss", "reconstruction_esc")


def read_fastmri(path: str | os.PathLike[str]) -> KSpace:
    """Read a file with ``kspace`` of shape (slices, coils, rows, cols) or (slices, rows, cols).

    Rows run along the readout. The full field of view is kept, with the oversampling of the
    readout: the reference image (``reconstruction_rss`` or ``reconstruction_esc``) is the middle of
    it; ``crop_readout`` removes the surplus. Columns that ``mask`` leaves out are set to 0, and
    exact zeros count as not sampled, since the files pad k-space with them. Pixel sizes come from
    ``ismrmrd_header``; the slice distance is then the slice thickness, as the layout has no gap.

    Raises:
        ValueError: One line that names the file: missing, damaged, without ``kspace``, of another
            shape, or with values that are not finite.
    """
    path = Path(path)
    parts = _load(path)
    data = _as_slices(parts["kspace"], path)
    sampled = sampled_locations(data, str(path))
    if "mask" in parts:
        keep = _column_mask(parts["mask"], data.shape[3], path)
        data = np.where(keep, data, np.complex64(0))
        sampled = sampled & keep
    header = parts.get("ismrmrd_header")
    reference = next((parts[key] for key in _REFERENCES if key in parts), None)
    if reference is not None:
        reference = _checked_reference(reference, data.shape[0], path)
    return KSpace(
        data=data,
        mask=sampled,
        spacing=None if header is None else _spacing(header, data.shape, path),
        reference=reference,
        source=path,
        header=header,
    )


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            keys = [key for key in ("kspace", "mask", *_REFERENCES) if key in file]
            parts = {key: file[key][()] for key in keys}
            if "ismrmrd_header" in file:
                text = file["ismrmrd_header"][()]
                parts["ismrmrd_header"] = text.decode() if isinstance(text, bytes) else str(text)
    # h5py reports damage by many exceptions
    except Exception as error:
        raise ValueError(f"{path}: not a readable HDF5 file ({error})") from error
    if "kspace" not in parts:
        raise ValueError(f"{path}: no data set named kspace")
    return parts


def _as_slices(kspace: NDArray[Any], path: Path) -> NDArray[np.complex64]:
    if kspace.ndim not in (3, 4) or kspace.dtype.kind != "c" or kspace.size == 0:
        raise ValueError(
            f"{path}: kspace: expected complex values of shape (slices, coils, rows, cols) or "
            f"(slices, rows, cols), got {kspace.dtype} of shape {kspace.shape}"
        )
    with_coils = kspace if kspace.ndim == 4 else kspace[:, None]
    return to_complex64(with_coils, f"{path}: kspace", KSPACE_AXES)


def _column_mask(mask: NDArray[Any], cols: int, path: Path) -> NDArray[np.bool_]:
    if mask.size != cols:
        raise ValueError(f"{path}: mask: expected {cols} columns, got shape {mask.shape}")
    if not np.isin(mask, (0, 1)).all():
        raise ValueError(f"{path}: mask: expected 0 and 1 only")
    return mask.reshape(cols).astype(bool)


def _checked_reference(values: NDArray[Any], slices: int, path: Path) -> NDArray[np.float32]:
    if values.ndim != 3 or len(values) != slices:
        raise ValueError(
            f"{path}: reconstruction: expected {slices} slices of rows and columns, "
            f"got shape {values.shape}"
        )
    return to_float32(values, f"{path}: reconstruction", ("slice", "row", "col"))


def _spacing(header: str, shape: tuple[int, ...], path: Path) -> tuple[float, float, float]:
    # the grid of k-space may be padded: its step is 1 / field, so a pixel is field / samples
    readout, phase, through = parse_encoding(header, str(path)).field
    return through, readout / shape[2], phase / shape[3]
