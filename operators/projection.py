"""Random projections, as compressed sensing and sketching take them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from typing_extensions import override

from operators.base import LinearOperator, SVDOperator, matched

if TYPE_CHECKING:
    from collections.abc import Sequence


class RandomProjection(LinearOperator):
    r"""Dense matrix of independent normal entries.

    .. math:: A_{i,j} \sim N(0, 1 / m), \qquad E \|A x\|^2 = \|x\|^2

    Args:
        in_shape: Trailing shape of x, flattened row-major.
        num_measurements: Rows m; positive, more than the entries of x are allowed.
        generator: Source of the matrix.

    Attributes:
        matrix: float32 (m, entries of x).

    Raises:
        ValueError: If num_measurements or a size is not positive.
    """

    matrix: Tensor

    def __init__(
        self, in_shape: Sequence[int], num_measurements: int, *, generator: torch.Generator
    ) -> None:
        size = math.prod(in_shape)
        if num_measurements < 1 or size < 1:
            raise ValueError(
                f"RandomProjection: {num_measurements} measurements of shape {tuple(in_shape)}"
            )
        super().__init__(in_shape, (num_measurements,))
        draws = torch.randn(num_measurements, size, generator=generator, device=generator.device)
        self.register_buffer("matrix", draws / math.sqrt(num_measurements))

    def _forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(*x.shape[: x.ndim - len(self.in_shape)], -1)
        return flat @ matched(self.matrix, x).mT

    def _adjoint(self, y: Tensor) -> Tensor:
        return (y @ matched(self.matrix, y)).reshape(*y.shape[:-1], *self.in_shape)


class StructuredRandomProjection(SVDOperator):
    r"""Random signs, a fast orthonormal transform, and a random share of its coefficients.

    .. math:: A = R \, F \, D, \qquad A A^H = 1

    D flips signs at random, F is the Fourier transform over all axes, for real x the Hartley
    transform Re F - Im F (Bracewell 1983), and R keeps m coefficients. The signs spread every x
    over all coefficients, so that which of them are kept hardly matters (Ailon and Chazelle
    2009; Tropp 2011); n log n operations and n numbers of memory instead of m n. Rows are
    orthonormal, so that :math:`E \|A x\|^2 = (m / n) \|x\|^2`.

    Args:
        in_shape: Trailing shape of x, with n entries.
        num_measurements: m, in 1 ... n.
        generator: Source of the signs and of the selection.
        complex_valued: Whether x and y are complex.

    Raises:
        ValueError: If num_measurements is not in 1 ... n.
    """

    _signs: Tensor
    _indices: Tensor

    def __init__(
        self,
        in_shape: Sequence[int],
        num_measurements: int,
        *,
        generator: torch.Generator,
        complex_valued: bool = False,
    ) -> None:
        size = math.prod(in_shape)
        if not 1 <= num_measurements <= size:
            raise ValueError(
                f"StructuredRandomProjection: {num_measurements} measurements of shape "
                f"{tuple(in_shape)}, expected 1 ... {size}"
            )
        super().__init__(in_shape, (num_measurements,))
        self.in_complex = self.out_complex = complex_valued
        self._dims = tuple(range(-len(self.in_shape), 0))
        device = generator.device
        heads = torch.randint(2, self.in_shape, generator=generator, device=device)
        order = torch.randperm(size, generator=generator, device=device)
        self.register_buffer("_signs", 1.0 - 2.0 * heads)
        self.register_buffer("_indices", order[:num_measurements].sort().values)
        self.register_buffer("singular_values", torch.ones(self.out_shape, device=device))

    @override
    def U(self, z: Tensor) -> Tensor:
        return z

    @override
    def Uh(self, y: Tensor) -> Tensor:
        return y

    @override
    def V(self, z: Tensor) -> Tensor:
        empty = z.new_zeros(*z.shape[:-1], self._signs.numel())
        full = empty.index_copy(-1, self._indices, z).reshape(*z.shape[:-1], *self.in_shape)
        if self.in_complex:
            image = torch.fft.ifftn(full, dim=self._dims, norm="ortho")
        else:
            image = self._hartley(full)
        return matched(self._signs, z) * image

    @override
    def Vh(self, x: Tensor) -> Tensor:
        flipped = matched(self._signs, x) * x
        if self.in_complex:
            full = torch.fft.fftn(flipped, dim=self._dims, norm="ortho")
        else:
            full = self._hartley(flipped)
        return full.flatten(x.ndim - len(self.in_shape)).index_select(-1, self._indices)

    def _forward(self, x: Tensor) -> Tensor:
        return self.Vh(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.V(y)

    def _normal(self, x: Tensor) -> Tensor:
        return self.V(self.Vh(x))

    def _hartley(self, x: Tensor) -> Tensor:
        # its own inverse and adjoint
        spectrum = torch.fft.fftn(x, dim=self._dims, norm="ortho")
        return spectrum.real - spectrum.imag
