"""Finite differences, as total variation needs them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from operators.base import LinearOperator

if TYPE_CHECKING:
    from collections.abc import Sequence


class FiniteDifferences(LinearOperator):
    r"""Forward differences along the last axes, zero at the far end (Neumann border).

    .. math:: (D x)_{a, i} = x_{i + e_a} - x_i

    y has shape ``(num_axes, *in_shape)``, one component for each axis, in the unit of x per pixel.
    :math:`\|D\|^2 = \sum_a 4 \cos^2(\pi / 2 N_a) < 4 \, \mathrm{num\_axes}` (Chambolle 2004).

    Args:
        in_shape: Trailing shape of x.
        num_axes: How many of its last axes are differentiated; all by default.
        complex_valued: Whether x and y are complex.

    Raises:
        ValueError: If num_axes is not in 1 ... len(in_shape).
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        num_axes: int | None = None,
        *,
        complex_valued: bool = False,
    ) -> None:
        count = len(in_shape) if num_axes is None else num_axes
        if not 1 <= count <= len(in_shape):
            raise ValueError(
                f"FiniteDifferences: {count} axes of an image of shape {tuple(in_shape)}"
            )
        super().__init__(in_shape, (count, *in_shape))
        self.in_complex = self.out_complex = complex_valued
        self._axes = tuple(range(-count, 0))

    @property
    def norm(self) -> float:
        """The largest singular value."""
        sizes = [self.in_shape[axis] for axis in self._axes]
        return math.sqrt(sum(4 * math.cos(math.pi / (2 * n)) ** 2 for n in sizes))

    def _forward(self, x: Tensor) -> Tensor:
        stack_axis = x.ndim - len(self.in_shape)
        parts = [
            torch.diff(x, dim=axis, append=x.narrow(axis, x.shape[axis] - 1, 1))
            for axis in self._axes
        ]
        return torch.stack(parts, dim=stack_axis)

    def _adjoint(self, y: Tensor) -> Tensor:
        parts = y.unbind(y.ndim - len(self.out_shape))
        pairs = zip(parts, self._axes, strict=True)
        return sum((_negative_divergence(p, a) for p, a in pairs), start=y.new_zeros(()))


def _negative_divergence(y: Tensor, axis: int) -> Tensor:
    # the last entry belongs to the zero row of D
    inner = y.narrow(axis, 0, y.shape[axis] - 1)
    border = torch.zeros_like(y.narrow(axis, 0, 1))
    return -torch.diff(inner, dim=axis, prepend=border, append=border)
