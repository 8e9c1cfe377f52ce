"""A two-dimensional operator on every slice of a volume."""

from __future__ import annotations

from torch import Tensor

from operators.base import LinearOperator


class SliceStack(LinearOperator):
    """The same scan of each slice: y_k = A x_k.

    x has shape ``(num_slices, *A.in_shape)`` and y ``(num_slices, *A.out_shape)``; all slices go
    through A in one call.

    Args:
        operator: A.
        num_slices: Slices of the volume.

    Raises:
        ValueError: No slices.
    """

    def __init__(self, operator: LinearOperator, num_slices: int) -> None:
        if num_slices < 1:
            raise ValueError(f"SliceStack: expected at least one slice, got {num_slices}")
        super().__init__((num_slices, *operator.in_shape), (num_slices, *operator.out_shape))
        self.operator = operator
        self.in_complex, self.out_complex = operator.in_complex, operator.out_complex

    @property
    def num_slices(self) -> int:
        """Slices of the volume."""
        return self.in_shape[0]

    def _forward(self, x: Tensor) -> Tensor:
        return self.operator._forward(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.operator._adjoint(y)

    def _normal(self, x: Tensor) -> Tensor:
        return self.operator._normal(x)
