"""Numbers that come from files: finite, and in the precision that the package works in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["check_finite", "to_complex64", "to_float32"]


def check_finite(values: NDArray[Any], name: str, axes: Sequence[str] = ()) -> None:
    """Refuse NaN and infinity.

    Args:
        values: Any numeric array.
        name: What the values are, for the message; usually the file they came from.
        axes: Names of the axes, for the message; numbered when missing.

    Raises:
        ValueError: With the first position that is not finite, and how many there are.
    """
    bad = ~np.isfinite(values)
    if not bad.any():
        return
    position = np.unravel_index(int(np.argmax(bad)), values.shape)
    labels = axes if len(axes) == values.ndim else [f"axis {i}:" for i in range(values.ndim)]
    where = ", ".join(f"{label} {index}" for label, index in zip(labels, position, strict=True))
    raise ValueError(
        f"{name}: expected finite values, got {values[position]} at ({where}); "
        f"{int(bad.sum())} of {values.size} are not finite"
    )


def to_float32(values: NDArray[Any], name: str, axes: Sequence[str] = ()) -> NDArray[np.float32]:
    """Cast real values to float32; ValueError where one is not finite or overflows."""
    return _cast(values, np.float32, name, axes)


def to_complex64(
    values: NDArray[Any], name: str, axes: Sequence[str] = ()
) -> NDArray[np.complex64]:
    """Cast values to complex64; ValueError where one is not finite or overflows."""
    return _cast(values, np.complex64, name, axes)


def _cast(values: NDArray[Any], dtype: Any, name: str, axes: Sequence[str]) -> NDArray[Any]:
    check_finite(values, name, axes)
    # float32 ends at 3.4e38: larger numbers become infinite, and are refused below
    with np.errstate(over="ignore"):
        cast = np.ascontiguousarray(values, dtype=dtype)
    check_finite(cast, f"{name} in {np.dtype(dtype).name}", axes)
    return cast
