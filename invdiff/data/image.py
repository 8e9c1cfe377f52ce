"""An image in its place in the patient."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from invdiff.data.finite import check_finite

__all__ = ["AXES", "Image", "Modality", "Unit"]

Modality = Literal["CT", "MR", "other"]
Unit = Literal["HU", "arbitrary"]

AXES = ("slice", "row", "col")


@dataclass(frozen=True, eq=False)
class Image:
    """A stack of slices with the geometry that places it in the patient.

    The affine maps the index ``(col, row, slice, 1)`` of a voxel centre to millimetres in RAS: x
    grows to the patient's right, y to the front (anterior), z to the head (superior). It is the
    order of NIfTI, whose array is ``values.transpose()``, so a NIfTI affine is kept as it is.

    Args:
        values: Shape (slices, rows, cols), float32.
        affine: Shape (4, 4), float64, mm.
        modality: What was measured.
        unit: ``"HU"`` for CT numbers; ``"arbitrary"`` otherwise.
        source: The file or folder the image was read from.
        template: What a derived file keeps of the input: a tuple with one pydicom Dataset a slice
            (no pixel data), or a nibabel header, or None.

    Raises:
        ValueError: Values that are not (slices, rows, cols) of finite float32, or an affine that
            isn't an invertible 4 x 4 matrix.
    """

    values: NDArray[np.float32]
    affine: NDArray[np.float64]
    modality: Modality = "other"
    unit: Unit = "arbitrary"
    source: Path | None = None
    template: Any = None

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or 0 in self.values.shape or self.values.dtype != np.float32:
            raise ValueError(
                "Image: expected float32 values of shape (slices, rows, cols), "
                f"got {self.values.dtype} of shape {self.values.shape}"
            )
        check_finite(self.values, f"Image {self.source or ''}".rstrip(), AXES)
        _check_affine(self.affine)

    @property
    def num_slices(self) -> int:
        """Number of slices."""
        return int(self.values.shape[0])

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxel centres along (slice, row, col), in mm."""
        col, row, through = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(through), float(row), float(col)

    @property
    def padding(self) -> float:
        """Value of empty space, which is -1000 (air) for HU and 0 otherwise."""
        return -1000.0 if self.unit == "HU" else 0.0

    def slice(self, index: int) -> Image:
        """Return the image of one slice, in its place; index from 0 up to ``num_slices - 1``."""
        if not 0 <= index < self.num_slices:
            raise ValueError(f"slice: expected 0 to {self.num_slices - 1}, got {index}")
        affine = self.affine.copy()
        affine[:, 3] += index * affine[:, 2]
        template = self.template[index : index + 1] if self._has_slice_headers else self.template
        values = self.values[index : index + 1]
        return dataclasses.replace(self, values=values, affine=affine, template=template)

    def middle(self) -> Image:
        """Return the slice ``num_slices // 2``."""
        return self.slice(self.num_slices // 2)

    def replaced(self, values: NDArray[Any]) -> Image:
        """Return other values in the same place, such as a reconstruction.

        Raises:
            ValueError: The shape isn't that of this image.
        """
        if values.shape != self.values.shape:
            raise ValueError(f"replaced: expected shape {self.values.shape}, got {values.shape}")
        return dataclasses.replace(self, values=np.ascontiguousarray(values, dtype=np.float32))

    @property
    def _has_slice_headers(self) -> bool:
        return isinstance(self.template, tuple) and len(self.template) == self.num_slices


def _check_affine(affine: NDArray[np.float64]) -> None:
    if affine.shape != (4, 4):
        raise ValueError(f"affine: expected shape (4, 4), got {affine.shape}")
    check_finite(affine, "affine")
    if not np.array_equal(affine[3], (0, 0, 0, 1)):
        raise ValueError(f"affine: expected a last row of 0 0 0 1, got {affine[3]}")
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    # the volume of the voxel against that of the box of its edges: 0 where directions coincide
    if lengths.min() == 0 or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-3:
        raise ValueError(f"affine: expected three independent directions, got {affine.tolist()}")
