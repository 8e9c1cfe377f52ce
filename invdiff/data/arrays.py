"""Plain arrays: .npy and .npz, never pickles."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invdiff.data.finite import to_complex64, to_float32

__all__ = ["Array", "read_array"]


@dataclass(frozen=True, eq=False)
class Array:
    """Numbers without geometry.

    Args:
        values: float32, complex64 or bool, any shape.
        source: The file.
        key: The name within an ``.npz`` file, None for ``.npy``.
    """

    values: NDArray[Any]
    source: Path | None = None
    key: str | None = None


def read_array(path: str | os.PathLike[str], *, key: str | None = None) -> Array:
    """Read an array as float32 (integers too), complex64 or bool.

    Args:
        path: A ``.npy`` or ``.npz`` file.
        key: Which array of an ``.npz`` file; needed if it holds more than one.

    Raises:
        ValueError: One line that names the file: missing, damaged, a pickle, an unknown key, not
            numbers, empty, or values that are not finite.
    """
    path = Path(path)
    values, key = _load(path, key)
    name = f"{path}[{key}]" if key else f"{path}"
    if values.size == 0:
        raise ValueError(f"{name}: the array is empty, shape {values.shape}")
    if values.dtype.kind == "b":
        return Array(values, path, key)
    if values.dtype.kind == "c":
        return Array(to_complex64(values, name), path, key)
    if values.dtype.kind in "iuf":
        return Array(to_float32(values, name), path, key)
    raise ValueError(f"{name}: expected numbers, got dtype {values.dtype}")


def _load(path: Path, key: str | None) -> tuple[NDArray[Any], str | None]:
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return _without_key(loaded, key)
            key = _single_key(loaded.files, key)
            return loaded[key], key
    # a damaged header or archive fails in too many ways to list
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: not a readable array ({reason})") from error


def _without_key(values: NDArray[Any], key: str | None) -> tuple[NDArray[Any], None]:
    if key is not None:
        raise ValueError(f"a .npy file has no keys, got key {key!r}")
    return values, None


def _single_key(keys: list[str], key: str | None) -> str:
    if key is None and len(keys) == 1:
        return keys[0]
    if key not in keys:
        raise ValueError(f"key {key!r} is not one of {', '.join(keys) or 'none'}")
    return key
