"""Inpainting: some entries of the image are measured, the others are not."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from operators.base import SVDOperator


class Mask(SVDOperator):
    """Keep the observed entries of x, and only those.

    y is the vector of the True entries in row-major order: an unmeasured entry has no place in
    it, so that noise and likelihood cannot mistake it for a measured zero.

    Args:
        mask: Boolean tensor in the trailing shape of x, True where x is observed.
        complex_valued: Whether x and y are complex.

    Raises:
        ValueError: If the mask is not boolean or observes nothing.
    """

    mask: Tensor
    _indices: Tensor

    def __init__(self, mask: Tensor, *, complex_valued: bool = False) -> None:
        if mask.dtype != torch.bool:
            raise ValueError(f"Mask: expected a boolean mask, got {mask.dtype}")
        indices = mask.flatten().nonzero().squeeze(1)
        if indices.numel() == 0:
            raise ValueError(f"Mask: a mask of shape {tuple(mask.shape)} observes no entry")
        super().__init__(mask.shape, indices.shape)
        self.in_complex = self.out_complex = complex_valued
        self.register_buffer("mask", mask.clone())
        self.register_buffer("_indices", indices)
        self.register_buffer("singular_values", torch.ones(indices.shape, device=mask.device))

    @override
    def U(self, z: Tensor) -> Tensor:
        return z

    @override
    def Uh(self, y: Tensor) -> Tensor:
        return y

    @override
    def V(self, z: Tensor) -> Tensor:
        batch = z.shape[:-1]
        empty = z.new_zeros(*batch, self.mask.numel())
        return empty.index_copy(-1, self._indices, z).reshape(*batch, *self.in_shape)

    @override
    def Vh(self, x: Tensor) -> Tensor:
        flat = x.reshape(*x.shape[: x.ndim - len(self.in_shape)], -1)
        return flat.index_select(-1, self._indices)

    def _forward(self, x: Tensor) -> Tensor:
        return self.Vh(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.V(y)

    def _normal(self, x: Tensor) -> Tensor:
        return torch.where(self.mask, x, 0)
