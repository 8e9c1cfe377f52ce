"""CT projectors held as sparse matrices and applied to a whole batch at once."""

from __future__ import annotations

import math
import warnings
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from operators.ct.geometry import FanGeometry, ImageGrid, ParallelGeometry, check_source
from operators.ct.intersections import intersection_matrix
from operators.ct.vectors2d import VectorGeometry2D
from operators.pair import MatchedPair

if TYPE_CHECKING:
    import scipy.sparse as sp

_INT32_LIMIT = 2**31 - 1
_CAST_AT_ONCE = 2**22  # entries; 16 MB in float32, and enough to keep the multiplication busy


def _csr(start: Tensor, index: Tensor, value: Tensor, size: tuple[int, int]) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(start, index, value, size, check_invariants=False)


def _block_starts(start: np.ndarray) -> list[tuple[int, int]]:
    """Cut a CSR matrix every few million entries; (row, entry) of every cut, first and last."""
    wanted = np.arange(0, start[-1], _CAST_AT_ONCE)
    rows = np.unique([0, *np.searchsorted(start, wanted, side="right") - 1, len(start) - 1])
    return [(int(row), int(start[row])) for row in rows]


class SparseOperator(MatchedPair):
    """A x for a sparse matrix, kept in CSR both ways so that neither product scatters.

    Args:
        matrix: Any scipy sparse matrix of shape (prod(out_shape), prod(in_shape)).
        in_shape: Trailing shape of x, flattened row-major.
        out_shape: Trailing shape of y, flattened row-major.
        storage: Floating dtype to round the entries to; theirs by default. A 16-bit one takes 12
            instead of 16 bytes for an entry once built, half as much time again for a product, and
            rounds by up to 5e-4 (torch.float16) or 4e-3 (torch.bfloat16) of an entry. Products
            are in the precision of the input, and both directions use the same rounded entries.

    Raises:
        ValueError: If the matrix does not have that shape, is complex, or has entries beyond the
            range of ``storage``; or if that is no floating dtype.
    """

    _rows_value: Tensor

    def __init__(
        self,
        matrix: sp.spmatrix,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        *,
        storage: torch.dtype | None = None,
    ) -> None:
        super().__init__(in_shape, out_shape)
        expected = (torch.Size(out_shape).numel(), torch.Size(in_shape).numel())
        if matrix.shape != expected:
            raise ValueError(f"SparseOperator: expected matrix {expected}, got {matrix.shape}")
        if matrix.dtype.kind == "c":
            raise ValueError(f"SparseOperator: expected a real matrix, got {matrix.dtype}")
        if storage is not None and not storage.is_floating_point:
            raise ValueError(f"SparseOperator: storage must be a floating dtype, got {storage}")
        matrix = matrix.tocsr()
        limit = math.inf if storage is None else torch.finfo(storage).max
        if matrix.nnz and max(matrix.max(), -matrix.min()) > limit:
            raise ValueError(f"SparseOperator: entries beyond the range of {storage}")
        self._blocks: dict[str, list[tuple[int, int]]] = {}
        for name in ("rows", "columns"):
            part = matrix if name == "rows" else matrix.T.tocsr()
            # MKL multiplies with 32-bit indices; 64-bit ones would be converted at every call
            index = torch.int32 if part.nnz < _INT32_LIMIT else torch.int64
            value = torch.from_numpy(part.data)
            self.register_buffer(f"_{name}_start", torch.from_numpy(part.indptr).to(index))
            self.register_buffer(f"_{name}_index", torch.from_numpy(part.indices).to(index))
            self.register_buffer(f"_{name}_value", value if storage is None else value.to(storage))
            self._blocks[name] = _block_starts(part.indptr)

    @property
    def num_nonzeros(self) -> int:
        """Stored entries of the matrix."""
        return self._rows_value.numel()

    def _multiply(self, name: str, v: Tensor, num_in: int, num_out: int) -> Tensor:
        start, index, value = (getattr(self, f"_{name}_{k}") for k in ("start", "index", "value"))
        dense = v.reshape(-1, num_in).T
        if value.dtype == v.dtype:
            return (_csr(start, index, value, (num_out, num_in)) @ dense).T
        # block by block: all entries in the dtype of v would take more than a narrow one saves
        out = v.new_empty(num_out, dense.shape[1])
        for (row, begin), (next_row, end) in pairwise(self._blocks[name]):
            block = (
                start[row : next_row + 1] - begin,
                index[begin:end],
                value[begin:end].to(v.dtype),
            )
            out[row:next_row] = _csr(*block, (next_row - row, num_in)) @ dense
        return out.T

    @override
    def _product(self, v: Tensor, transposed: bool) -> Tensor:
        inner, outer = self.in_shape, self.out_shape
        name = "rows"
        if transposed:
            inner, outer, name = outer, inner, "columns"
        sizes = torch.Size(inner).numel(), torch.Size(outer).numel()
        return self._multiply(name, v, *sizes).reshape(-1, *outer)


class _Projector2D(SparseOperator):
    def __init__(
        self,
        grid: ImageGrid,
        geometry: ParallelGeometry | FanGeometry | VectorGeometry2D,
        storage: torch.dtype | None,
    ) -> None:
        points, directions = geometry.rays()
        matrix = intersection_matrix(points.reshape(-1, 2), directions.reshape(-1, 2), grid)
        super().__init__(matrix, grid.shape, geometry.shape, storage=storage)
        self.grid = grid


class ParallelBeam2D(_Projector2D):
    r"""Line integrals of an image along parallel rays.

    .. math:: (A x)_{v, d} = \sum_p \ell_{(v, d), p} \, x_p

    with the exact length :math:`\ell` of each ray in each pixel.

    Args:
        grid: Image shape (rows, columns) and pixel size in mm; x is in 1/mm.
        geometry: Views and detector; y has shape (views, detectors) and no unit.
        storage: As for :class:`SparseOperator`; lengths are in float32 by default.
    """

    def __init__(
        self, grid: ImageGrid, geometry: ParallelGeometry, *, storage: torch.dtype | None = None
    ) -> None:
        super().__init__(grid, geometry, storage)
        self.geometry = geometry


class FanBeam2D(_Projector2D):
    """Line integrals of an image along rays from a point source to a flat or curved detector.

    Args:
        grid: Image shape (rows, columns) and pixel size in mm; x is in 1/mm.
        geometry: Views, distances and detector; y has shape (views, detectors) and no unit.
        storage: As for :class:`SparseOperator`; lengths are in float32 by default.

    Raises:
        ValueError: If the source would pass through the image.
    """

    def __init__(
        self, grid: ImageGrid, geometry: FanGeometry, *, storage: torch.dtype | None = None
    ) -> None:
        # a ray is a whole line here: what lies behind the source would be counted too
        check_source(geometry.source_to_axis, grid)
        super().__init__(grid, geometry, storage)
        self.geometry = geometry


class VectorBeam2D(_Projector2D):
    """Line integrals of an image along rays that are given for every view.

    Args:
        grid: Image shape (rows, columns) and pixel size in mm; x is in 1/mm.
        geometry: Emitter and detector of every view; y has shape (views, detectors) and no unit.
        storage: As for :class:`SparseOperator`; lengths are in float32 by default.

    Raises:
        ValueError: If a source lies in the circle about the image, or sends rays away from it.
    """

    def __init__(
        self, grid: ImageGrid, geometry: VectorGeometry2D, *, storage: torch.dtype | None = None
    ) -> None:
        if geometry.kind == "fan":
            check_source(float(np.linalg.norm(geometry.emitter, axis=1).min()), grid)
            sources, directions = geometry.rays()
            # a ray is a whole line here: what lies behind the source would be counted too
            if not ((sources * directions).sum(-1) < 0).all():
                raise ValueError("VectorBeam2D: a ray leads away from the image")
        super().__init__(grid, geometry, storage)
        self.geometry = geometry
