"""Any matrix, with its singular value decomposition."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from typing_extensions import override

from operators.base import SVDOperator, matched

if TYPE_CHECKING:
    from collections.abc import Sequence


class Matrix(SVDOperator):
    r"""A dense matrix A = U diag(s) V^H on flattened images, real or complex.

    Args:
        matrix: Shape (m, n), floating-point or complex.
        in_shape: Shape of x with n entries; ``(n,)`` if not given.
        out_shape: Shape of y with m entries; ``(m,)`` if not given.

    Attributes:
        singular_values: Decreasing, min(m, n) of them.

    Raises:
        ValueError: No matrix, or shapes of another number of entries.
    """

    _left: Tensor
    _right: Tensor

    def __init__(
        self,
        matrix: Tensor,
        in_shape: Sequence[int] | None = None,
        out_shape: Sequence[int] | None = None,
    ) -> None:
        if matrix.ndim != 2 or not (matrix.is_floating_point() or matrix.is_complex()):
            raise ValueError(
                f"Matrix: expected a float or complex matrix, got {matrix.dtype} of shape "
                f"{tuple(matrix.shape)}"
            )
        rows, columns = matrix.shape
        in_shape = (columns,) if in_shape is None else tuple(in_shape)
        out_shape = (rows,) if out_shape is None else tuple(out_shape)
        if math.prod(in_shape) != columns or math.prod(out_shape) != rows:
            raise ValueError(f"Matrix: ({rows}, {columns}) does not map {in_shape} to {out_shape}")
        super().__init__(in_shape, out_shape)
        self.in_complex = self.out_complex = matrix.is_complex()
        # the decomposition in double precision: its rounding is the error of every pseudo-inverse
        wide = matrix.to(torch.complex128 if matrix.is_complex() else torch.float64)
        left, values, right = torch.linalg.svd(wide, full_matrices=False)
        self.register_buffer("_left", left)
        self.register_buffer("_right", right)
        self.register_buffer("singular_values", values)

    @override
    def U(self, z: Tensor) -> Tensor:
        y = z @ matched(self._left, z).mT
        return y.reshape(*z.shape[:-1], *self.out_shape)

    @override
    def Uh(self, y: Tensor) -> Tensor:
        flat = y.reshape(*y.shape[: y.ndim - len(self.out_shape)], -1)
        return flat @ matched(self._left, y).conj()

    @override
    def V(self, z: Tensor) -> Tensor:
        x = z @ matched(self._right, z).conj()
        return x.reshape(*z.shape[:-1], *self.in_shape)

    @override
    def Vh(self, x: Tensor) -> Tensor:
        flat = x.reshape(*x.shape[: x.ndim - len(self.in_shape)], -1)
        return flat @ matched(self._right, x).mT
