"""Measured k-space of 2D Cartesian MR, multi-coil."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invdiff.data.arrays import read_array
from invdiff.data.finite import check_finite
from invdiff.data.image import Image

__all__ = ["KSPACE_AXES", "KSpace", "crop_readout", "kspace_from_array", "read_kspace_array"]

KSPACE_AXES = ("slice", "coil", "row", "col")
# share of the sampled locations at which one slice may be zero by chance (quantised data)
_CHANCE_ZEROS = 0.01


@dataclass(frozen=True, eq=False)
class KSpace:
    """Centred k-space: frequency 0 at ``(rows // 2, cols // 2)``, unsampled locations 0.

    The image is its centred orthonormal inverse FFT, with the centre of the field of view at pixel
    ``(rows // 2, cols // 2)``. In the file formats read here rows run along the readout.

    Args:
        data: Shape (slices, coils, rows, cols), complex64.
        mask: Shape (rows, cols), bool: what was sampled, the same in each slice and coil.
        spacing: Distance of image pixels along (slice, row, col) in mm; None where unknown.
        affine: Of the image, as in ``Image``; None where the file doesn't place it.
        reference: Shape (slices, rows', cols'), float32: an image that the file holds for
            comparison, cropped as the file has it; None if there is none.
        source: The file.
        header: The ISMRMRD header as XML text, if the file has one.

    Raises:
        ValueError: Shapes or dtypes that don't fit, values that are not finite, an empty mask, or
            data off the mask.
    """

    data: NDArray[np.complex64]
    mask: NDArray[np.bool_]
    spacing: tuple[float, float, float] | None = None
    affine: NDArray[np.float64] | None = None
    reference: NDArray[np.float32] | None = None
    source: Path | None = None
    header: str | None = None

    def __post_init__(self) -> None:
        name = str(self.source or "KSpace")
        shape = self.data.shape
        if self.data.ndim != 4 or 0 in shape or self.data.dtype != np.complex64:
            raise ValueError(
                f"{name}: expected complex64 data of shape (slices, coils, rows, cols), "
                f"got {self.data.dtype} of shape {shape}"
            )
        if self.mask.shape != shape[2:] or self.mask.dtype != np.bool_:
            raise ValueError(
                f"{name}: expected a bool mask of shape {shape[2:]}, "
                f"got {self.mask.dtype} of shape {self.mask.shape}"
            )
        check_finite(self.data, name, KSPACE_AXES)
        if not self.mask.any():
            raise ValueError(f"{name}: no k-space location is sampled")
        if self.data[..., ~self.mask].any():
            raise ValueError(f"{name}: data where the mask has nothing sampled")

    @property
    def num_slices(self) -> int:
        """Number of slices."""
        return int(self.data.shape[0])

    @property
    def num_coils(self) -> int:
        """Number of receive coils."""
        return int(self.data.shape[1])

    def slice(self, index: int) -> KSpace:
        """Return one slice, in its place; index from 0 up to ``num_slices - 1``."""
        if not 0 <= index < self.num_slices:
            raise ValueError(f"slice: expected 0 to {self.num_slices - 1}, got {index}")
        part = slice(index, index + 1)
        affine = _shifted(self.affine, 2, index)
        reference = None if self.reference is None else self.reference[part]
        return dataclasses.replace(self, data=self.data[part], affine=affine, reference=reference)

    def middle(self) -> KSpace:
        """Return the slice ``num_slices // 2``."""
        return self.slice(self.num_slices // 2)

    def image(self, values: NDArray[Any]) -> Image:
        """Put a reconstruction, such as a magnitude, where it was measured.

        Without an affine the centre of the field lies at the world's origin, columns running to
        the patient's left and rows to the back.

        Args:
            values: Shape (slices, rows, cols), real.

        Raises:
            ValueError: Another shape, or the size of a pixel is unknown.
        """
        expected = (self.num_slices, *self.mask.shape)
        if values.shape != expected:
            raise ValueError(f"image: expected shape {expected}, got {values.shape}")
        affine = self._placement()
        values = np.ascontiguousarray(values, dtype=np.float32)
        return Image(values=values, affine=affine, modality="MR", source=self.source)

    def _placement(self) -> NDArray[np.float64]:
        if self.affine is not None:
            return self.affine
        if self.spacing is None:
            raise ValueError(f"{self.source or 'KSpace'}: the size of a pixel is unknown")
        through, row, col = self.spacing
        affine = np.diag([-col, -row, through, 1.0])
        centre = [self.mask.shape[1] // 2, self.mask.shape[0] // 2, self.num_slices // 2]
        affine[:3, 3] = -affine[:3, :3] @ centre
        return affine


def crop_readout(kspace: KSpace, rows: int) -> KSpace:
    """Keep the middle ``rows`` of the field of view along the readout.

    Scanners sample the readout twice as densely as needed, which doubles the field along it. The
    crop is made in the image (FFT along the rows, orthonormal, so image values and the noise level
    stay), which needs readouts that were sampled throughout.

    Raises:
        ValueError: More rows than there are, or partly sampled readouts.
    """
    old = kspace.data.shape[2]
    if not 0 < rows <= old:
        raise ValueError(f"crop_readout: expected 1 to {old} rows, got {rows}")
    if (kspace.mask != kspace.mask[:1]).any():
        raise ValueError("crop_readout: the readouts are sampled in part, so rows do not separate")
    start = old // 2 - rows // 2
    profile = _centred(np.fft.ifft, kspace.data)[:, :, start : start + rows]
    data = _centred(np.fft.fft, profile).astype(np.complex64)
    mask = np.repeat(kspace.mask[:1], rows, axis=0)
    # the FFT leaves rounding of 0 as 0 exactly, since unsampled columns are 0 throughout
    affine = _shifted(kspace.affine, 1, start)
    return dataclasses.replace(kspace, data=data, mask=mask, affine=affine)


def kspace_from_array(
    values: NDArray[Any],
    *,
    spacing: tuple[float, float, float] | None = None,
    source: Path | None = None,
) -> KSpace:
    """Take an array as centred k-space in which exact zeros were not sampled.

    Args:
        values: Shape (coils, rows, cols) or (slices, coils, rows, cols), complex.
        spacing: Distance of image pixels along (slice, row, col) in mm, if known.
        source: Where the values come from.

    Raises:
        ValueError: Another shape or dtype, or slices that were sampled differently.
    """
    if values.ndim not in (3, 4) or values.dtype.kind != "c":
        raise ValueError(
            f"{source or 'k-space'}: expected complex values of shape (coils, rows, cols) or "
            f"(slices, coils, rows, cols), got {values.dtype} of shape {values.shape}"
        )
    data = values.reshape(-1, *values.shape[-3:]).astype(np.complex64)
    mask = sampled_locations(data, str(source or "k-space"))
    return KSpace(data=data, mask=mask, spacing=spacing, source=source)


def read_kspace_array(
    path: str | os.PathLike[str],
    *,
    key: str | None = None,
    spacing: tuple[float, float, float] | None = None,
) -> KSpace:
    """Read k-space from a ``.npy`` or ``.npz`` file: ``read_array``, then ``kspace_from_array``."""
    array = read_array(path, key=key)
    return kspace_from_array(array.values, spacing=spacing, source=array.source)


def sampled_locations(data: NDArray[np.complex64], name: str) -> NDArray[np.bool_]:
    """Locations at which some slice and coil isn't 0, shape (rows, cols).

    Raises:
        ValueError: A slice is 0 at many locations that others have.
    """
    by_slice = (data != 0).any(axis=1)
    mask: NDArray[np.bool_] = by_slice.any(axis=0)
    missing = (mask & ~by_slice).sum(axis=(1, 2))
    worst = int(np.argmax(missing))
    if missing[worst] > _CHANCE_ZEROS * mask.sum():
        raise ValueError(
            f"{name}: slices are sampled differently: slice {worst} lacks {missing[worst]} of the "
            f"{mask.sum()} locations that others have"
        )
    return mask


def _centred(transform: Any, data: NDArray[Any]) -> NDArray[Any]:
    shifted = np.fft.ifftshift(data, axes=2)
    return np.fft.fftshift(transform(shifted, axis=2, norm="ortho"), axes=2)


def _shifted(affine: NDArray[np.float64] | None, axis: int, steps: int) -> Any:
    """The affine of a grid that starts ``steps`` later along (col, row, slice)[axis]."""
    if affine is None:
        return None
    moved = affine.copy()
    moved[:, 3] += steps * affine[:, axis]
    return moved
