"""Who computes the non-uniform transforms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from operators.mri.finufft_backend import FinufftTransform
from operators.mri.gridding import GriddedTransform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from operators.mri.gridding import NonUniformTransform

Backend = Literal["gridding", "finufft"]


def make_transform(
    points: Tensor,
    image_shape: Sequence[int],
    tolerance: float,
    oversampling: float | None,
    backend: Backend,
) -> NonUniformTransform:
    """Build the pair of maps of the named backend; ``ValueError`` for another name."""
    if backend == "gridding":
        return GriddedTransform(points, image_shape, tolerance, oversampling)
    if backend != "finufft":
        raise ValueError(f"expected backend 'gridding' or 'finufft', got {backend!r}")
    return FinufftTransform(points, image_shape, tolerance, oversampling)
