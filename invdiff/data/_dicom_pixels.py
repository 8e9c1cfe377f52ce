"""From the stored pixels of a DICOM file to physical values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID

from invdiff.data.finite import to_float32

__all__ = ["physical_values", "stored_pixels"]

# pixels that a CT scanner marks as outside the field of view become air
_AIR_HU = -1000.0


def stored_pixels(dataset: Any, path: Path) -> NDArray[Any]:
    """Stored values, shape (frames, rows, cols)."""
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    try:
        _check_length(dataset, syntax)
        stored = np.asarray(dataset.pixel_array)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: cannot read {syntax.name} pixel data ({reason})") from error
    return stored.reshape(-1, *stored.shape[-2:])


def _check_length(dataset: Any, syntax: UID) -> None:
    # pydicom reads a file that ends early without a word
    if syntax.is_compressed or "PixelData" not in dataset:
        return
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    expected = dataset.Rows * dataset.Columns * frames * dataset.BitsAllocated // 8
    if len(dataset.PixelData) < expected:
        raise ValueError(f"expected {expected} bytes, got {len(dataset.PixelData)}: truncated")


def physical_values(
    dataset: Any,
    stored: NDArray[Any],
    slope: float,
    intercept: float,
    hounsfield: bool,
    name: str,
) -> NDArray[np.float32]:
    padding = _padding_mask(dataset, stored)
    stored = stored.astype(np.float64)
    # HU are physical whatever the display; elsewhere MONOCHROME1 says that small is bright
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1" and not hounsfield:
        stored = _stored_range_sum(dataset, name) - stored
    values = stored * slope + intercept
    values[padding] = _AIR_HU if hounsfield else 0.0
    return to_float32(values, name, ("row", "col"))


def _stored_range_sum(dataset: Any, name: str) -> float:
    """Smallest plus largest value that the stored bits can hold: v -> sum - v inverts."""
    if "PixelData" not in dataset:
        raise ValueError(f"{name}: MONOCHROME1 with floating-point pixels is not supported")
    levels = float(2 ** int(dataset.BitsStored))
    return -1.0 if dataset.PixelRepresentation == 1 else levels - 1


def _padding_mask(dataset: Any, stored: NDArray[Any]) -> NDArray[np.bool_]:
    low = dataset.get("PixelPaddingValue")
    if low is None or stored.dtype.kind == "f":
        return np.zeros(stored.shape, dtype=bool)
    high = dataset.get("PixelPaddingRangeLimit", low)
    low, high = sorted((int(low), int(high)))
    mask: NDArray[np.bool_] = (stored >= low) & (stored <= high)
    return mask
