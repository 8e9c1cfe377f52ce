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

    .. math:: (D x)_{a, i} = \frac{x_{i + e_a} - x_i}{h_a}

    y has shape ``(num_axes, *in_shape)``, one component for each axis, in the unit of x over that
    of the spacing. :math:`\|D\|^2 = \sum_a 4 \cos^2(\pi / 2 N_a) / h_a^2` (Chambolle 2004).

    Args:
        in_shape: Trailing shape of x.
        num_axes: How many of its last axes are differentiated; all by default.
        complex_valued: Whether x and y are complex.
        spacing: h, distance from one pixel to the next along each of these axes, such as the
            voxel size in mm; 1 by default, which is per pixel.

    Raises:
        ValueError: If num_axes is not in 1 ... len(in_shape), or the spacing is not as many
            positive lengths.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        num_axes: int | None = None,
        *,
        complex_valued: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> None:
        count = len(in_shape) if num_axes is None else num_axes
        if not 1 <= count <= len(in_shape):
            raise ValueError(
                f"FiniteDifferences: {count} axes of an image of shape {tuple(in_shape)}"
            )
        lengths = (1.0,) * count if spacing is None else tuple(map(float, spacing))
        if len(lengths) != count or not all(0 < h < math.inf for h in lengths):
            raise ValueError(
                f"FiniteDifferences: expected a spacing of {count} positive lengths, got {lengths}"
            )
        super().__init__(in_shape, (count, *in_shape))
        self.in_complex = self.out_complex = complex_valued
        self.spacing = lengths
        self._axes = tuple(range(-count, 0))

    @property
    def norm(self) -> float:
        """The largest singular value."""
        sizes = [self.in_shape[axis] for axis in self._axes]
        pairs = zip(sizes, self.spacing, strict=True)
        return math.sqrt(sum((2 * math.cos(math.pi / (2 * n)) / h) ** 2 for n, h in pairs))

    def _forward(self, x: Tensor) -> Tensor:
        stack_axis = x.ndim - len(self.in_shape)
        pairs = zip(self._axes, self.spacing, strict=True)
        return torch.stack([_difference(x, axis, h) for axis, h in pairs], dim=stack_axis)

    def _adjoint(self, y: Tensor) -> Tensor:
        parts = y.unbind(y.ndim - len(self.out_shape))
        terms = zip(parts, self._axes, self.spacing, strict=True)
        return sum((_negative_divergence(p, a, h) for p, a, h in terms), start=y.new_zeros(()))


def _difference(x: Tensor, axis: int, spacing: float) -> Tensor:
    change = torch.diff(x, dim=axis, append=x.narrow(axis, x.shape[axis] - 1, 1))
    return change if spacing == 1 else change / spacing


def _negative_divergence(y: Tensor, axis: int, spacing: float) -> Tensor:
    # the last entry belongs to the zero row of D
    inner = y.narrow(axis, 0, y.shape[axis] - 1)
    border = torch.zeros_like(y.narrow(axis, 0, 1))
    inner = inner if spacing == 1 else inner / spacing
    return -torch.diff(inner, dim=axis, prepend=border, append=border)
