"""Orthonormal real transforms of images, and the spatial frequency of each coefficient."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

__all__ = ["SpectralTransform", "TransformName"]

TransformName = Literal["cosine", "fourier"]


class SpectralTransform:
    r"""A separable orthonormal transform, coefficients c = W x and image x = W^T c.

    Along an axis of N pixels the rows are :math:`\cos(\pi k (j + 1/2) / N)` with k = 0 to N - 1
    (``"cosine"``, the DCT-II, whose images are mirrored at their edges) or
    :math:`\cos(2 \pi k j / N)` and :math:`\sin(2 \pi k j / N)` with k = 0 to N / 2
    (``"fourier"``, periodic images), of norm 1. White noise stays white of unit variance.

    Args:
        image_shape: Of the images, at least one axis; all are transformed.
        name: Which transform.

    Attributes:
        frequencies: Radial frequency of each coefficient in cycles a pixel, 0 to
            :math:`\sqrt{axes} / 2`, in the shape of the image, float64.

    Raises:
        ValueError: No axes, an empty one, or another name.
    """

    def __init__(self, image_shape: Sequence[int], name: TransformName = "cosine") -> None:
        if name not in get_args(TransformName):
            raise ValueError(
                f"transform: expected one of {', '.join(get_args(TransformName))}, got {name!r}"
            )
        if min(image_shape, default=0) < 1:
            raise ValueError(f"transform: expected an image, got shape {tuple(image_shape)}")
        axes = [_TRANSFORMS[name](n) for n in image_shape]
        self.image_shape = tuple(image_shape)
        self._matrices = [matrix for matrix, _ in axes]
        squares = torch.meshgrid(*(frequency**2 for _, frequency in axes), indexing="ij")
        self.frequencies = torch.stack(squares).sum(0).sqrt()

    def forward(self, x: Tensor) -> Tensor:
        """Return the coefficients of images ``(*batch, *image)``, in their shape."""
        return self._along_axes(self._matrices, x)

    def inverse(self, coefficients: Tensor) -> Tensor:
        """Return the images that have those coefficients, ``(*batch, *image)``."""
        return self._along_axes([matrix.mT for matrix in self._matrices], coefficients)

    def _along_axes(self, matrices: Sequence[Tensor], x: Tensor) -> Tensor:
        for axis, matrix in enumerate(matrices, start=-len(matrices)):
            x = (x.movedim(axis, -1) @ matrix.mT.to(x)).movedim(-1, axis)
        return x


def _cosine(size: int) -> tuple[Tensor, Tensor]:
    """Return the rows of the DCT-II, and their frequencies."""
    k = torch.arange(size, dtype=torch.float64)
    matrix = torch.cos(math.pi / size * torch.outer(k, k + 0.5))
    return matrix / matrix.norm(dim=1, keepdim=True), k / (2 * size)


def _fourier(size: int) -> tuple[Tensor, Tensor]:
    """Return the rows of the real Fourier series, and their frequencies."""
    j = torch.arange(size, dtype=torch.float64)
    # row 2k - 1 is the cosine and row 2k the sine of frequency k; an even size ends in (-1)^j
    k = torch.div(j + 1, 2, rounding_mode="floor")
    quarter_turn = math.pi / 2 * ((j > 0) & (j % 2 == 0)).double()
    matrix = torch.cos(2 * math.pi / size * torch.outer(k, j) - quarter_turn.unsqueeze(1))
    return matrix / matrix.norm(dim=1, keepdim=True), k / size


_TRANSFORMS: dict[TransformName, Callable[[int], tuple[Tensor, Tensor]]] = {
    "cosine": _cosine,
    "fourier": _fourier,
}
