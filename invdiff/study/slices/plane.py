"""The plane that slices are cut in."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from invdiff.data import Image

__all__ = ["Plane", "resliced"]

Plane = Literal["axial", "coronal", "sagittal", "acquired"]

# the direction of a slice's normal, in RAS
_NORMALS = {"sagittal": 0, "coronal": 1, "axial": 2}
# a slice across fewer acquired ones is no picture
_FEWEST = 16


def resliced(image: Image, plane: Plane, name: str) -> Image:
    """Return a volume as slices of a plane, the nearest that its voxels have: none is interpolated.

    Args:
        image: Slices of any orientation.
        plane: "acquired" leaves them as they are.
        name: Of the image, for errors.

    Raises:
        ValueError: Fewer than 16 slices to cut across.
    """
    if plane == "acquired":
        return image
    directions = image.affine[:3, :3] / np.linalg.norm(image.affine[:3, :3], axis=0)
    # of (col, row, slice), the one that runs most along the normal of the plane
    through = int(np.argmax(np.abs(directions[_NORMALS[plane]])))
    if through == 2:
        return image
    if image.num_slices < _FEWEST:
        raise ValueError(
            f"{name}: plane: expected {_FEWEST} or more slices to cut {plane} ones from, "
            f"got {image.num_slices}"
        )
    kept = [axis for axis in range(3) if axis != through]
    order = [*kept, through]
    # values run (slice, row, col), the affine (col, row, slice)
    values = image.values.transpose([2 - axis for axis in reversed(order)])
    affine = image.affine[:, [*order, 3]]
    return dataclasses.replace(
        image, values=np.ascontiguousarray(values), affine=affine, template=None
    )
