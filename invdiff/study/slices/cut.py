"""Which slices of a scan are learnt from, and in which range."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt

from invdiff.data import Image
from invdiff.study.base import Config
from invdiff.study.slices.plane import Plane, resliced
from invdiff.study.units import Units, placed_slices, relative_units

__all__ = ["CutConfig", "encoded"]

# what is brighter than this share of the range isn't air
_AIR = 0.05

# of the shipped priors
_SIDE = 256


class CutConfig(Config):
    """How scans become slices.

    Args:
        size: Rows and columns; by default 256 for scans, and those of an ``.npz``, whose pixels are
            averaged in whole blocks.
        pixel_mm: Edge of the pixels of scans; by default their field of view is filled. K-space
            keeps the pixels of its field, as in a reconstruction.
        plane: That is cut; "acquired" are the slices that a scan has, whatever their plane.
        every: Of so many slices one is taken.
        min_content: Least share of pixels above 5 % of the range; slices of less are left out.
        range_of: What the 99.7th percentile is taken of that MR is divided by: each slice, as a
            reconstruction of one slice does, or the whole scan, as that of a volume does.
    """

    size: PositiveInt | None = None
    pixel_mm: PositiveFloat | None = None
    plane: Plane = "axial"
    every: PositiveInt = 1
    min_content: float = Field(default=0.0, ge=0, le=1)
    range_of: Literal["slice", "scan"] = "slice"

    @property
    def side(self) -> int:
        """Rows and columns that scans are resampled to."""
        return _SIDE if self.size is None else self.size

    def shares_of_image(self, image: Image, name: str) -> NDArray[np.float32]:
        """Return slices of a scan as shares of the range, ``(slices, size, size)`` in [0, 1].

        Raises:
            ValueError: Nothing to scale by, or too few slices to cut across.
        """
        turned = resliced(image, self.plane, name)
        placed, units = placed_slices(turned, self.side, self.pixel_mm, name)
        if image.unit != "HU":
            return self.shares_of_stack(placed.values, name)[1]
        shares = units.relative(placed.values)
        return shares[self.kept(shares)]

    def shares_of_stack(
        self, values: NDArray[Any], name: str
    ) -> tuple[NDArray[np.intp], NDArray[Any]]:
        """Return which slices in arbitrary units are taken, and these as shares of the range.

        Slices that have nothing to scale by are left out.

        Args:
            values: ``(slices, rows, columns)``; of complex ones the magnitude is scaled, and
                clipped at 1.
            name: Of the scan, for errors.

        Raises:
            ValueError: None has anything to scale by.
        """
        whole = relative_units(values, name)
        units = {
            int(i): whole if self.range_of == "scan" else _own_units(values[i], name)
            for i in self.kept(values, whole.scale)
        }
        shares = {i: _shares(values[i], unit) for i, unit in units.items() if unit is not None}
        stack = np.stack(list(shares.values())) if shares else values[:0]
        return np.array(list(shares), dtype=np.intp), stack

    def kept(self, values: NDArray[Any], highest: float = 1.0) -> NDArray[np.intp]:
        """Return which slices are taken.

        Args:
            values: ``(slices, rows, columns)``.
            highest: Top of their range.
        """
        content = (np.abs(values) > _AIR * highest).mean(axis=(1, 2))
        rows = np.arange(0, len(values), self.every)
        return rows[content[rows] >= self.min_content]


def encoded(shares: NDArray[Any]) -> NDArray[Any]:
    """Return shares of the range as they are kept: uint8 in one channel, or float16 in two.

    Args:
        shares: ``(slices, rows, columns)``: in [0, 1], or complex of magnitude up to 1.

    Returns:
        ``(slices, channels, rows, columns)``: 0 to 255, or real and imaginary part.
    """
    if np.iscomplexobj(shares):
        return np.stack([shares.real, shares.imag], axis=1).astype(np.float16)
    return np.round(255 * shares).astype(np.uint8)[:, None]


def _own_units(values: NDArray[Any], name: str) -> Units | None:
    try:
        return relative_units(values, name)
    except ValueError:
        return None


def _shares(values: NDArray[Any], units: Units) -> NDArray[Any]:
    if not np.iscomplexobj(values):
        return units.relative(values)
    relative = values / units.scale
    return relative / np.maximum(np.abs(relative), 1)
