"""CT projectors held as sparse matrices and applied to a whole batch at once."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from operators.base import LinearOperator
from operators.ct.geometry import FanGeometry, ImageGrid, ParallelGeometry, check_source
from operators.ct.intersections import intersection_matrix
from operators.ct.vectors2d import VectorGeometry2D

if TYPE_CHECKING:
    import scipy.sparse as sp

_INT32_LIMIT = 2**31 - 1


def _csr(start: Tensor, index: Tensor, value: Tensor, size: tuple[int, int]) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(start, index, value, size, check_invariants=False)


class SparseOperator(LinearOperator):
    """A x for a sparse matrix, kept in CSR both ways so that neither product scatters.

    Args:
        matrix: Any scipy sparse matrix of shape (prod(out_shape), prod(in_shape)).
        in_shape: Trailing shape of x, flattened row-major.
        out_shape: Trailing shape of y, flattened row-major.

    Raises:
        ValueError: If the matrix does not have that shape, or is complex.
    """

    _rows_value: Tensor

    def __init__(
        self, matrix: sp.spmatrix, in_shape: tuple[int, ...], out_shape: tuple[int, ...]
    ) -> None:
        super().__init__(in_shape, out_shape)
        expected = (torch.Size(out_shape).numel(), torch.Size(in_shape).numel())
        if matrix.shape != expected:
            raise ValueError(f"SparseOperator: expected matrix {expected}, got {matrix.shape}")
        if matrix.dtype.kind == "c":
            raise ValueError(f"SparseOperator: expected a real matrix, got {matrix.dtype}")
        for name, part in (("rows", matrix.tocsr()), ("columns", matrix.T.tocsr())):
            # MKL multiplies with 32-bit indices; 64-bit ones would be converted at every call
            index = torch.int32 if part.nnz < _INT32_LIMIT else torch.int64
            self.register_buffer(f"_{name}_start", torch.from_numpy(part.indptr).to(index))
            self.register_buffer(f"_{name}_index", torch.from_numpy(part.indices).to(index))
            self.register_buffer(f"_{name}_value", torch.from_numpy(part.data))

    @property
    def num_nonzeros(self) -> int:
        """Stored entries of the matrix."""
        return self._rows_value.numel()

    def _multiply(self, name: str, v: Tensor, num_in: int, num_out: int) -> Tensor:
        start, index, value = (getattr(self, f"_{name}_{k}") for k in ("start", "index", "value"))
        matrix = _csr(start, index, value.to(v.dtype), (num_out, num_in))
        return (matrix @ v.reshape(-1, num_in).T).T

    def _forward(self, x: Tensor) -> Tensor:
        return _SparseProduct.apply(x, self, "rows")  # type: ignore[no-untyped-call]

    def _adjoint(self, y: Tensor) -> Tensor:
        return _SparseProduct.apply(y, self, "columns")  # type: ignore[no-untyped-call]

    def _product(self, v: Tensor, name: str) -> Tensor:
        inner, outer = self.in_shape, self.out_shape
        if name == "columns":
            inner, outer = outer, inner
        batch = v.shape[: v.ndim - len(inner)]
        sizes = torch.Size(inner).numel(), torch.Size(outer).numel()
        return self._multiply(name, v, *sizes).reshape(*batch, *outer)


class _SparseProduct(torch.autograd.Function):
    """The product with the matrix; its derivative is the product with the transpose."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, operator: SparseOperator, name: str) -> Tensor:
        ctx.operator, ctx.name = operator, name
        return operator._product(v, name)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        other = "columns" if ctx.name == "rows" else "rows"
        grad = _SparseProduct.apply(grads[0], ctx.operator, other)  # type: ignore[no-untyped-call]
        return grad, None, None


class _Projector2D(SparseOperator):
    def __init__(
        self, grid: ImageGrid, geometry: ParallelGeometry | FanGeometry | VectorGeometry2D
    ) -> None:
        points, directions = geometry.rays()
        matrix = intersection_matrix(points.reshape(-1, 2), directions.reshape(-1, 2), grid)
        super().__init__(matrix, grid.shape, geometry.shape)
        self.grid = grid


class ParallelBeam2D(_Projector2D):
    r"""Line integrals of an image along parallel rays.

    .. math:: (A x)_{v, d} = \sum_p \ell_{(v, d), p} \, x_p

    with the exact length :math:`\ell` of each ray in each pixel.

    Args:
        grid: Image shape (rows, columns) and pixel size in mm; x is in 1/mm.
        geometry: Views and detector; y has shape (views, detectors) and no unit.
    """

    def __init__(self, grid: ImageGrid, geometry: ParallelGeometry) -> None:
        super().__init__(grid, geometry)
        self.geometry = geometry


class FanBeam2D(_Projector2D):
    """Line integrals of an image along rays from a point source to a flat or curved detector.

    Args:
        grid: Image shape (rows, columns) and pixel size in mm; x is in 1/mm.
        geometry: Views, distances and detector; y has shape (views, detectors) and no unit.

    Raises:
        ValueError: If the source would pass through the image.
    """

    def __init__(self, grid: ImageGrid, geometry: FanGeometry) -> None:
        # a ray is a whole line here: what lies behind the source would be counted too
        check_source(geometry.source_to_axis, grid)
        super().__init__(grid, geometry)
        self.geometry = geometry


class VectorBeam2D(_Projector2D):
    """Line integrals of an image along rays that are given for every view.

    Args:
        grid: Image shape (rows, columns) and pixel size in mm; x is in 1/mm.
        geometry: Emitter and detector of every view; y has shape (views, detectors) and no unit.

    Raises:
        ValueError: If a source lies in the circle about the image, or sends rays away from it.
    """

    def __init__(self, grid: ImageGrid, geometry: VectorGeometry2D) -> None:
        if geometry.kind == "fan":
            check_source(float(np.linalg.norm(geometry.emitter, axis=1).min()), grid)
            sources, directions = geometry.rays()
            # a ray is a whole line here: what lies behind the source would be counted too
            if not ((sources * directions).sum(-1) < 0).all():
                raise ValueError("VectorBeam2D: a ray leads away from the image")
        super().__init__(grid, geometry)
        self.geometry = geometry
