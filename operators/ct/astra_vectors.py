"""Scans in the vector layout of the ASTRA toolbox."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np

from operators.ct.detector import Array
from operators.ct.geometry3d import VectorGeometry3D
from operators.ct.vectors2d import VectorGeometry2D
from operators.ct.volume import ScanVectors


class HasVectors(Protocol):
    """A geometry that is written as vectors."""

    def vectors(self) -> ScanVectors | VectorGeometry2D:
        """Return a vector for every view."""


def to_astra_vectors(geometry: HasVectors) -> Array:
    """Write a scan as ASTRA's ``parallel_vec``, ``fanflat_vec``, ``parallel3d_vec``, ``cone_vec``.

    A row holds the emitter (direction of parallel rays, or position of the source), the centre of
    the detector, and the step from one element to the next: along a row (u), and in 3D from row
    to row (v), all in mm in x, y, z.

    World coordinates are the same in both packages. ASTRA's volumes differ: its y grows with the
    row index, here row 0 has the largest y, so that a 3D array is flipped along its rows.

    Args:
        geometry: Any scan with vectors: not with a curved detector.

    Returns:
        Shape (views, 6) in 2D, (views, 12) in 3D.
    """
    scan = geometry.vectors()
    parts = [scan.emitter, scan.centre, scan.u]
    if isinstance(scan, ScanVectors):
        parts.append(scan.v)
    return np.concatenate(parts, axis=1)


def from_astra_vectors(
    vectors: Array, detector_shape: tuple[int, ...], kind: Literal["parallel", "fan", "cone"]
) -> VectorGeometry2D | VectorGeometry3D:
    """Read a scan in the layout that :func:`to_astra_vectors` writes.

    Args:
        vectors: Shape (views, 6) in 2D, (views, 12) in 3D, in mm.
        detector_shape: (elements,) in 2D, (rows, columns) in 3D.
        kind: "parallel", or "fan" in 2D and "cone" in 3D.

    Raises:
        ValueError: If the vectors have another number of columns, the detector or the kind is of
            the other dimension, or the scan is degenerate.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    dims = len(detector_shape) + 1
    if dims not in (2, 3) or vectors.ndim != 2 or vectors.shape[1] != (6 if dims == 2 else 12):
        raise ValueError(
            "expected vectors (views, 6) with a detector (elements,), or (views, 12) with (rows, "
            f"columns), got {vectors.shape} and {detector_shape}"
        )
    emitter, centre, *steps = np.split(vectors, vectors.shape[1] // dims, axis=1)
    if dims == 2 and kind != "cone":
        return VectorGeometry2D(kind, emitter, centre, steps[0], detector_shape[0])
    if dims == 3 and kind != "fan":
        rows, columns = detector_shape
        u, v = steps
        return VectorGeometry3D(ScanVectors(kind, emitter, centre, u, v, (rows, columns)))
    raise ValueError(f"a scan of kind {kind} has no vectors of {vectors.shape[1]} columns")
