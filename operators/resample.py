"""Anti-aliased downsampling by an integer factor."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from typing_extensions import override

from operators.base import SVDOperator, matched


class Downsample(SVDOperator):
    r"""Separable low-pass and decimation: one small dense matrix for each axis.

    .. math:: W_{i,j} \propto k\!\left(\frac{j - (i + 1/2) f + 1/2}{f}\right)

    Every row sums to 1. The kernel is stretched by the factor f, so that what the coarse grid
    cannot hold is suppressed; weights beyond the ends are reflected half a sample outside the
    last pixel. The SVD is the Kronecker product of those of the matrices.

    Args:
        in_shape: Trailing shape of x; every axis is resampled.
        factor: Pixels of x to one of y, one number or one for each axis (1 leaves an axis alone).
        kernel: ``"box"`` (mean of a block), ``"bicubic"`` (Keys 1981, a = -1/2) or ``"lanczos3"``.

    Raises:
        ValueError: If a factor is not a positive divisor of its axis, or the kernel is unknown.
    """

    def __init__(
        self, in_shape: Sequence[int], factor: int | Sequence[int], kernel: str = "bicubic"
    ) -> None:
        factors = tuple(factor) if isinstance(factor, Sequence) else (factor,) * len(in_shape)
        if kernel not in _KERNELS:
            raise ValueError(f"Downsample: kernel {kernel!r} is none of {sorted(_KERNELS)}")
        if len(factors) != len(in_shape) or any(
            f < 1 or n % f for f, n in zip(factors, in_shape, strict=True)
        ):
            raise ValueError(f"Downsample: factor {factor} does not divide {tuple(in_shape)}")
        super().__init__(in_shape, [n // f for n, f in zip(in_shape, factors, strict=True)])
        values = torch.ones((), dtype=torch.float64)
        for axis, (n, f) in enumerate(zip(self.in_shape, factors, strict=True)):
            matrix = _weights(n, f, kernel)
            u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
            for name, part in (("W", matrix), ("U", u), ("V", vh.mT.contiguous())):
                self.register_buffer(f"_{name}{axis}", part)
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


def _weights(size: int, factor: int, kernel: str) -> Tensor:
    """Return the 1-D matrix of shape (size // factor, size)."""
    evaluate, radius = _KERNELS[kernel]
    matrix = torch.zeros(size // factor, size, dtype=torch.float64)
    centres = (torch.arange(size // factor, dtype=torch.float64) + 0.5) * factor - 0.5
    # one step more than the support on both sides: the kernel is zero there
    reach = math.ceil(radius * factor) + 1
    for offset in range(-reach, reach + 1):
        source = centres.floor().long() + offset
        weight = evaluate((source - centres) / factor)
        matrix.scatter_add_(1, _reflected(source, size).unsqueeze(1), weight.unsqueeze(1))
    return matrix / matrix.sum(1, keepdim=True)


def _reflected(index: Tensor, size: int) -> Tensor:
    folded = index % (2 * size)
    return torch.where(folded < size, folded, 2 * size - 1 - folded)


def _box(t: Tensor) -> Tensor:
    return (t.abs() < 0.5).to(t.dtype)


def _bicubic(t: Tensor) -> Tensor:
    t = t.abs()
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return torch.where(t < 1, near, torch.where(t < 2, far, 0.0))


def _lanczos3(t: Tensor) -> Tensor:
    return torch.where(t.abs() < 3, torch.sinc(t) * torch.sinc(t / 3), 0.0)


# kernel and half of its support, in pixels of y
_KERNELS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "bicubic": (_bicubic, 2.0),
    "box": (_box, 0.5),
    "lanczos3": (_lanczos3, 3.0),
}
