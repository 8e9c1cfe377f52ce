"""Slices that lie ready in an archive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invdiff.data.finite import check_finite
from invdiff.study.slices.cut import CutConfig, encoded

__all__ = ["Archive", "archived", "read_archive"]

_AXES = ("slice", "row", "col")


@dataclass(frozen=True, eq=False)
class Archive:
    """What an ``.npz`` holds.

    Args:
        values: ``(slices, side, side)``: uint8, 0 to 255 for the range; floating point in [0, 1]
            for the same; or complex in any unit.
        subjects: A name for each slice; None where nobody knows.
        labels: The name of a class for each slice; None if there are none.
    """

    values: NDArray[Any]
    subjects: NDArray[np.str_] | None
    labels: NDArray[np.str_] | None


def read_archive(path: Path) -> Archive:
    """Read ``x`` and, where they are, ``subject`` and ``label``: names or numbers.

    Raises:
        ValueError: One line: not readable, or arrays of another form.
    """
    try:
        # a damaged archive would leave the file open
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ("x", "subject", "label") if name in stored}
    # a damaged archive fails in too many ways to list
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"slices: {path}: not a readable archive ({reason})") from error
    values = _checked(arrays.get("x"), path)
    return Archive(
        values, *(_names(arrays, name, len(values), path) for name in ("subject", "label"))
    )


def archived(
    values: NDArray[Any], cut: CutConfig, name: str, *, complex_valued: bool
) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Return which slices of an archive are taken, and these as they are kept.

    Args:
        values: Of an ``Archive``.
        cut: How they are chosen, and complex ones are scaled.
        name: Of the archive, for errors.
        complex_valued: Whether complex slices keep their phase.

    Raises:
        ValueError: Complex slices are asked of real ones, nothing to scale by, or a size that the
            slices are no whole multiple of.
    """
    values = _averaged(values, cut.size or values.shape[-1], name)
    if values.dtype.kind == "c":
        stack = values if complex_valued else np.abs(values)
        rows, shares = cut.shares_of_stack(stack, name)
        return rows, encoded(shares)
    if complex_valued:
        raise ValueError(f"slices: {name}: complex: true needs complex slices, got {values.dtype}")
    if values.dtype == np.uint8:
        rows = cut.kept(values, 255)
        return rows, values[rows][:, None]
    rows = cut.kept(values)
    return rows, encoded(values[rows])


def _averaged(values: NDArray[Any], size: int, name: str) -> NDArray[Any]:
    """Return means of blocks of pixels, in the type of the archive."""
    side = values.shape[-1]
    if side == size:
        return values
    if side % size:
        raise ValueError(f"slices: {name}: size: {side} is no multiple of {size}")
    factor = side // size
    means = [
        stack.reshape(-1, size, factor, size, factor).mean((2, 4))
        # some at a time: means of a whole archive of bytes are eight times as large
        for stack in np.array_split(values, -(-len(values) // 64))
    ]
    whole = np.concatenate(means)
    return (
        whole.round().astype(np.uint8) if values.dtype == np.uint8 else whole.astype(values.dtype)
    )


def _checked(values: Any, path: Path) -> NDArray[Any]:
    if values is None or not (values.dtype == np.uint8 or values.dtype.kind in "fc"):
        found = "no x" if values is None else f"{values.dtype}"
        raise ValueError(
            f"slices: {path}: expected x uint8, floating point or complex, got {found}"
        )
    if values.ndim != 3 or 0 in values.shape or values.shape[1] != values.shape[2]:
        raise ValueError(
            f"slices: {path}: expected x (slices, side, side), got shape {values.shape}"
        )
    check_finite(values, f"slices: {path}: x", _AXES)
    if values.dtype.kind == "f" and (values.min() < 0 or values.max() > 1):
        raise ValueError(
            f"slices: {path}: expected x from 0 to 1, got {values.min():g} to {values.max():g}"
        )
    return np.asarray(values)


def _names(arrays: Any, name: str, count: int, path: Path) -> NDArray[np.str_] | None:
    if name not in arrays:
        return None
    names = arrays[name]
    if names.shape != (count,):
        raise ValueError(f"slices: {path}: {count} slices, but {name} is {names.shape}")
    return np.asarray(names.astype(str))
