"""Fit the grid of measured k-space to that of a prior."""

from __future__ import annotations

import dataclasses

import numpy as np
from torch import Tensor
from torch.nn import functional

from invdiff.data import KSpace
from operators import LinearOperator

__all__ = ["Centre", "resized_field"]


class Centre(LinearOperator):
    """Cut the middle out of an image; the adjoint pads with zeros.

    A field of view smaller than the prior's image is reconstructed in the middle of it. Index
    ``size // 2`` is kept at ``size // 2``, the centre of the Fourier transforms.

    Args:
        in_shape: (height, width).
        out_shape: (height, width), no larger.
        complex_valued: Whether images are complex.
    """

    def __init__(
        self,
        in_shape: tuple[int, int],
        out_shape: tuple[int, ...],
        *,
        complex_valued: bool = False,
    ) -> None:
        super().__init__(in_shape, out_shape)
        self.in_complex = self.out_complex = complex_valued
        starts = [n // 2 - m // 2 for n, m in zip(in_shape, out_shape, strict=True)]
        first, second = (slice(s, s + m) for s, m in zip(starts, out_shape, strict=True))
        self.frame = (first, second)

    def _forward(self, x: Tensor) -> Tensor:
        return x[(..., *self.frame)]

    def _adjoint(self, y: Tensor) -> Tensor:
        rows, columns = self.frame
        height, width = self.in_shape
        pads = (columns.start, width - columns.stop, rows.start, height - rows.stop)
        return functional.pad(y, pads)


def resized_field(kspace: KSpace, shape: tuple[int, int]) -> KSpace:
    """Keep the middle of k-space where it is larger than the prior's image.

    The field of view stays and pixels become larger, as if a coarser image had been scanned. The
    transforms are orthonormal, so values and noise level of the samples stay.
    """
    old = kspace.mask.shape
    new = [min(n, m) for n, m in zip(old, shape, strict=True)]
    rows, columns = (
        slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(old, new, strict=True)
    )
    factors = [n / m for n, m in zip(old, new, strict=True)]
    spacing, affine = kspace.spacing, kspace.affine
    if spacing is not None:
        spacing = (spacing[0], spacing[1] * factors[0], spacing[2] * factors[1])
    if affine is not None:
        step = np.diag([factors[1], factors[0], 1.0, 1.0])
        # pixel m // 2 takes the place of pixel n // 2
        for k, axis in ((0, 1), (1, 0)):
            step[k, 3] = old[axis] // 2 - factors[axis] * (new[axis] // 2)
        affine = affine @ step
    return dataclasses.replace(
        kspace,
        data=np.ascontiguousarray(kspace.data[:, :, rows, columns]),
        mask=np.ascontiguousarray(kspace.mask[rows, columns]),
        spacing=spacing,
        affine=affine,
    )
