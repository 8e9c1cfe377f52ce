"""Anti-aliased resampling by any factor."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from typing_extensions import override

from operators.base import SVDOperator, matched


class Resample(SVDOperator):
    r"""Separable resampling to another grid over the same field: one dense matrix for each axis.

    .. math:: W_{i,j} \propto k\!\left(\frac{j - (i + 1/2) f + 1/2}{\max(f, 1)}\right),
        \qquad f = N_\text{in} / N_\text{out}

    Every row sums to 1. Where the grid becomes coarser the kernel is stretched by the factor f,
    so that what the coarse grid cannot hold is suppressed; where it becomes finer the kernel
    interpolates. Weights beyond the ends are reflected half a sample outside the last pixel. The
    SVD is the Kronecker product of those of the matrices.

    Args:
        in_shape: Trailing shape of x; every axis is resampled.
        out_shape: Trailing shape of y, as many axes; they cover the same field as those of x.
        kernel: ``"box"`` (mean of x over the area of a pixel of y), ``"linear"``, ``"bicubic"``
            (Keys 1981, a = -1/2) or ``"lanczos3"``.

    Raises:
        ValueError: If the shapes differ in their number of axes or are not positive, or the
            kernel is unknown.
    """

    def __init__(
        self, in_shape: Sequence[int], out_shape: Sequence[int], kernel: str = "bicubic"
    ) -> None:
        name = type(self).__name__
        if kernel not in _KERNELS:
            raise ValueError(f"{name}: kernel {kernel!r} is none of {sorted(_KERNELS)}")
        if len(in_shape) != len(out_shape) or min((*in_shape, *out_shape), default=0) < 1:
            raise ValueError(f"{name}: cannot map {tuple(in_shape)} to {tuple(out_shape)}")
        super().__init__(in_shape, out_shape)
        values = torch.ones((), dtype=torch.float64)
        for axis, (n, m) in enumerate(zip(self.in_shape, self.out_shape, strict=True)):
            matrix = _weights(n, m, kernel)
            u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
            for part_name, part in (("W", matrix), ("U", u), ("V", vh.mT.contiguous())):
                self.register_buffer(f"_{part_name}{axis}", part)
            values = values.unsqueeze(-1) * s
        self.register_buffer("singular_values", values)

    @override
    def U(self, z: Tensor) -> Tensor:
        return self._along_axes("U", z)

    @override
    def Uh(self, y: Tensor) -> Tensor:
        return self._along_axes("U", y, transposed=True)

    @override
    def V(self, z: Tensor) -> Tensor:
        return self._along_axes("V", z)

    @override
    def Vh(self, x: Tensor) -> Tensor:
        return self._along_axes("V", x, transposed=True)

    def _forward(self, x: Tensor) -> Tensor:
        return self._along_axes("W", x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._along_axes("W", y, transposed=True)

    def _normal(self, x: Tensor) -> Tensor:
        return self._adjoint(self._forward(x))

    def _along_axes(self, name: str, x: Tensor, *, transposed: bool = False) -> Tensor:
        for axis in range(len(self.in_shape)):
            matrix = matched(getattr(self, f"_{name}{axis}"), x)
            matrix = matrix if transposed else matrix.mT
            position = axis - len(self.in_shape)
            x = (x.movedim(position, -1) @ matrix).movedim(-1, position)
        return x


class Downsample(Resample):
    """Resampling to a grid that is coarser by an integer factor.

    Args:
        in_shape: Trailing shape of x; every axis is resampled.
        factor: Pixels of x to one of y, one number or one for each axis (1 leaves an axis alone).
        kernel: As for :class:`Resample`; ``"box"`` is the mean of a block.

    Raises:
        ValueError: If a factor is not a positive divisor of its axis, or the kernel is unknown.
    """

    def __init__(
        self, in_shape: Sequence[int], factor: int | Sequence[int], kernel: str = "bicubic"
    ) -> None:
        factors = tuple(factor) if isinstance(factor, Sequence) else (factor,) * len(in_shape)
        if len(factors) != len(in_shape) or any(
            f < 1 or n % f for f, n in zip(factors, in_shape, strict=True)
        ):
            raise ValueError(f"Downsample: factor {factor} does not divide {tuple(in_shape)}")
        out_shape = [n // f for n, f in zip(in_shape, factors, strict=True)]
        super().__init__(in_shape, out_shape, kernel)


def _weights(size: int, new_size: int, kernel: str) -> Tensor:
    """Return the 1-D matrix of shape (new_size, size)."""
    evaluate, radius = _KERNELS[kernel]
    factor = size / new_size
    matrix = torch.zeros(new_size, size, dtype=torch.float64)
    centres = (torch.arange(new_size, dtype=torch.float64) + 0.5) * factor - 0.5
    # one step more than the support on both sides: the kernel is zero there
    reach = math.ceil(radius * max(factor, 1.0)) + 1
    for offset in range(-reach, reach + 1):
        source = centres.floor().long() + offset
        weight = evaluate(source - centres, factor)
        matrix.scatter_add_(1, _reflected(source, size).unsqueeze(1), weight.unsqueeze(1))
    return matrix / matrix.sum(1, keepdim=True)


def _reflected(index: Tensor, size: int) -> Tensor:
    folded = index % (2 * size)
    return torch.where(folded < size, folded, 2 * size - 1 - folded)


def _overlap(distance: Tensor, width: float) -> Tensor:
    """Return the length that pixels of x share with a pixel of y of that width."""
    half = width / 2
    right = (distance + 0.5).clamp(max=half)
    return (right - (distance - 0.5).clamp(min=-half)).clamp(min=0)


def _linear(t: Tensor) -> Tensor:
    return (1 - t.abs()).clamp(min=0)


def _bicubic(t: Tensor) -> Tensor:
    t = t.abs()
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return torch.where(t < 1, near, torch.where(t < 2, far, 0.0))


def _lanczos3(t: Tensor) -> Tensor:
    return torch.where(t.abs() < 3, torch.sinc(t) * torch.sinc(t / 3), 0.0)


def _stretched(kernel: Callable[[Tensor], Tensor]) -> Callable[[Tensor, float], Tensor]:
    return lambda distance, factor: kernel(distance / max(factor, 1.0))


# weight of a pixel of x at a distance (in its own pixels) from the centre of a pixel of y that is
# `factor` wide, and half of the support in pixels of y
_KERNELS: dict[str, tuple[Callable[[Tensor, float], Tensor], float]] = {
    "bicubic": (_stretched(_bicubic), 2.0),
    "box": (_overlap, 0.5),
    "lanczos3": (_stretched(_lanczos3), 3.0),
    "linear": (_stretched(_linear), 1.0),
}
