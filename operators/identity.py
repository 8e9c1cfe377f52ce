"""Operators that keep every entry in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from typing_extensions import override

from operators.base import SVDOperator, matched

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Elementwise(SVDOperator):
    """Real factors at every entry: the coordinates are the entries of x."""

    @override
    def U(self, z: Tensor) -> Tensor:
        return z

    @override
    def Uh(self, y: Tensor) -> Tensor:
        return y

    @override
    def V(self, z: Tensor) -> Tensor:
        return z

    @override
    def Vh(self, x: Tensor) -> Tensor:
        return x


class Identity(_Elementwise):
    """The map x -> x, such as for denoising.

    Args:
        in_shape: Trailing shape of x and of y.
        complex_valued: Whether x and y are complex.
    """

    def __init__(self, in_shape: Sequence[int], *, complex_valued: bool = False) -> None:
        super().__init__(in_shape, in_shape)
        self.in_complex = self.out_complex = complex_valued
        self.register_buffer("singular_values", torch.ones(self.in_shape))

    def _forward(self, x: Tensor) -> Tensor:
        return x

    def _adjoint(self, y: Tensor) -> Tensor:
        return y

    def _normal(self, x: Tensor) -> Tensor:
        return x


class RealToComplex(_Elementwise):
    """Embed a real image in the complex ones; inner product Re <u, v>.

    The adjoint takes the real part, so ``CartesianMRI(mask, maps) @ RealToComplex(shape)`` acts
    on real images.

    Args:
        in_shape: Trailing shape of x and of y.
    """

    in_complex, out_complex = False, True

    def __init__(self, in_shape: Sequence[int]) -> None:
        super().__init__(in_shape, in_shape)
        self.register_buffer("singular_values", torch.ones(self.in_shape))

    @override
    def U(self, z: Tensor) -> Tensor:
        return z.to(z.dtype.to_complex())

    @override
    def Uh(self, y: Tensor) -> Tensor:
        return y.real

    def _forward(self, x: Tensor) -> Tensor:
        return self.U(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.Uh(y)

    def _normal(self, x: Tensor) -> Tensor:
        return x


class Diagonal(_Elementwise):
    """The map x -> weights * x, complex if the weights are.

    Args:
        weights: Finite factors in the trailing shape of x and of y, in the unit of y over x.

    Raises:
        ValueError: If the weights are empty, not finite, or neither floating-point nor complex.
    """

    weights: Tensor
    _phase: Tensor

    def __init__(self, weights: Tensor) -> None:
        if not (weights.is_floating_point() or weights.is_complex()):
            raise ValueError(f"Diagonal: expected floating-point or complex, got {weights.dtype}")
        if weights.numel() == 0 or not weights.isfinite().all():
            raise ValueError(f"Diagonal: weights of shape {tuple(weights.shape)} must be finite")
        super().__init__(weights.shape, weights.shape)
        self.in_complex = self.out_complex = weights.is_complex()
        self.register_buffer("weights", weights.resolve_conj().clone())
        self.register_buffer("singular_values", weights.abs())
        # sgn(0) = 0 would not be unitary
        phase = torch.where(weights == 0, torch.ones_like(weights), weights.sgn())
        self.register_buffer("_phase", phase)

    @override
    def U(self, z: Tensor) -> Tensor:
        return matched(self._phase, z) * z

    @override
    def Uh(self, y: Tensor) -> Tensor:
        return matched(self._phase, y).conj() * y

    def _forward(self, x: Tensor) -> Tensor:
        return matched(self.weights, x) * x

    def _adjoint(self, y: Tensor) -> Tensor:
        return matched(self.weights, y).conj() * y
