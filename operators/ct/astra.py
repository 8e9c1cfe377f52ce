"""Projectors of the ASTRA toolbox :cite:p:`vanaarle2016`, for comparison and for its GPU code.

Needs the extra ``astra``; ``import operators`` doesn't import this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import astra
import numpy as np
import torch
from torch import Tensor

from operators.ct.geometry import FanGeometry, ImageGrid, ParallelGeometry, check_source
from operators.ct.sparse import SparseOperator

if TYPE_CHECKING:
    import scipy.sparse as sp

    from operators.ct.volume import ScanVectors, VolumeGrid

Array = np.ndarray


class AstraParallel2D(SparseOperator):
    """Parallel-beam projector with the weights of ASTRA's CPU code, and the exact adjoint.

    Args:
        grid: Image shape (rows, columns) and pixel size in mm; pixels must be square.
        geometry: Views and detector; y has shape (views, detectors).
        model: "linear" (after :cite:t:`joseph1982`), "line" (length in a pixel) or "strip" (mean
            over the width of a detector element).

    Raises:
        ValueError: For another model, or pixels that aren't square, where ASTRA's lengths are
            wrong by their ratio.
    """

    def __init__(
        self,
        grid: ImageGrid,
        geometry: ParallelGeometry,
        model: Literal["linear", "line", "strip"] = "linear",
    ) -> None:
        _check("AstraParallel2D", grid, model, ("linear", "line", "strip"))
        along, forward = _axes(geometry.angles)
        centre = geometry.detector_offset * along
        vectors = np.hstack([forward, centre, geometry.detector_spacing * along])
        scan = astra.create_proj_geom("parallel_vec", geometry.num_detectors, vectors)
        super().__init__(_matrix(model, scan, grid), grid.shape, geometry.shape)
        self.grid, self.geometry, self.model = grid, geometry, model


class AstraFan2D(SparseOperator):
    """Fan-beam projector with the weights of ASTRA's CPU code, and the exact adjoint.

    Args:
        grid: Image shape (rows, columns) and pixel size in mm; pixels must be square.
        geometry: Views, distances and detector; y has shape (views, detectors).
        model: "line" (length in a pixel) or "strip" (mean over a detector element).

    Raises:
        ValueError: For another model, pixels that aren't square, a source within the image, a
            detector that isn't a line at a right angle to the central ray, or the strip model
            with an offset detector, which ASTRA lacks.
    """

    def __init__(
        self, grid: ImageGrid, geometry: FanGeometry, model: Literal["line", "strip"] = "line"
    ) -> None:
        _check("AstraFan2D", grid, model, ("line", "strip"))
        check_source(geometry.source_to_axis, grid)
        if model == "strip" and geometry.detector_offset != 0:
            raise ValueError("AstraFan2D: the strip model needs detector_offset 0")
        matrix = _matrix(f"{model}_fanflat", _fan(geometry, model), grid)
        super().__init__(matrix, grid.shape, geometry.shape)
        self.grid, self.geometry, self.model = grid, geometry, model


class UnmatchedAstra3D:
    """ASTRA's GPU code for volumes: a projector, and a back-projector that isn't its transpose.

    The two differ by several per cent in an inner product, so that this is no
    :class:`~operators.base.LinearOperator`: :class:`~operators.ct.volume_projector.VolumeProjector`
    is one. Needs a CUDA device and an ASTRA built for it.

    Args:
        grid: Shape (slices, rows, columns) and voxel size in mm.
        scan: Views and detector.

    Raises:
        ValueError: If ASTRA finds no CUDA device.
    """

    def __init__(self, grid: VolumeGrid, scan: ScanVectors) -> None:
        if not astra.use_cuda():
            raise ValueError("UnmatchedAstra3D: this ASTRA finds no CUDA device")
        slices, rows, columns = grid.shape
        sides = [n * p / 2 for n, p in zip(grid.shape, grid.voxel_size, strict=True)]
        box = [s * side for side in sides[::-1] for s in (-1, 1)]  # x, y, z
        self._volume = astra.create_vol_geom(rows, columns, slices, *box)
        kind = "cone_vec" if scan.kind == "cone" else "parallel3d_vec"
        self._scan = astra.create_proj_geom(kind, *scan.detector_shape, _mirrored(scan))

    def project(self, x: Tensor) -> Tensor:
        """Return projections (views, rows, columns) of x (slices, rows, columns), in float32."""
        number, y = astra.create_sino3d_gpu(_array(x), self._scan, self._volume)
        astra.data3d.delete(number)
        return torch.from_numpy(y).movedim(0, 1).to(x.device)

    def backproject(self, y: Tensor) -> Tensor:
        """Return the back-projection (slices, rows, columns) of y, in float32."""
        array = _array(y.movedim(1, 0))
        number, x = astra.create_backprojection3d_gpu(array, self._scan, self._volume)
        astra.data3d.delete(number)
        return torch.from_numpy(x).to(y.device)


def _check(name: str, grid: ImageGrid, model: str, models: tuple[str, ...]) -> None:
    if model not in models:
        raise ValueError(f"{name}: expected a model of {models}, got {model!r}")
    if not np.isclose(*grid.pixel_size, rtol=1e-6):
        raise ValueError(f"{name}: pixels must be square, got {grid.pixel_size}")


def _axes(angles: tuple[float, ...]) -> tuple[Array, Array]:
    """Unit vectors along the detector and along the central ray, shape (views, 2) each."""
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([cos, sin], -1), np.stack([-sin, cos], -1)


def _fan(geometry: FanGeometry, model: str) -> dict[str, Any]:
    reach = geometry.source_to_detector - geometry.source_to_axis
    along, forward = _axes(geometry.angles)
    source, centre = -geometry.source_to_axis * forward, reach * forward
    elements = centre[:, None] + geometry.detector_positions()[None, :, None] * along[:, None]
    rays = elements - source[:, None]
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    if not np.allclose(rays, geometry.rays()[1], rtol=0, atol=1e-9):
        raise ValueError("AstraFan2D: the detector must be flat, across the central ray")
    number, pitch = geometry.num_detectors, geometry.detector_spacing
    if model == "strip":
        angles = np.array(geometry.angles)
        return astra.create_proj_geom(
            "fanflat", pitch, number, angles, geometry.source_to_axis, reach
        )
    centre = centre + geometry.detector_offset * along
    vectors = np.hstack([source, centre, pitch * along])
    return astra.create_proj_geom("fanflat_vec", number, vectors)


def _matrix(kind: str, scan: dict[str, Any], grid: ImageGrid) -> sp.csr_matrix:
    (rows, columns), (dy, dx) = grid.shape, grid.pixel_size
    half_x, half_y = columns * dx / 2, rows * dy / 2
    image = astra.create_vol_geom(rows, columns, -half_x, half_x, -half_y, half_y)
    projector = astra.create_projector(kind, scan, image)
    stored = astra.projector.matrix(projector)
    # ASTRA holds float32, and gives it as float64
    matrix = astra.matrix.get(stored).astype(np.float32)
    astra.matrix.delete(stored)
    astra.projector.delete(projector)
    return matrix


def _mirrored(scan: ScanVectors) -> Array:
    """Write the scan as ASTRA's vectors, y reversed: its rows of a volume run towards +y."""
    parts = [scan.emitter, scan.centre, scan.u, scan.v]
    return np.hstack([part * (1, -1, 1) for part in parts])


def _array(v: Tensor) -> Array:
    return np.ascontiguousarray(v.detach().cpu().float().numpy())
