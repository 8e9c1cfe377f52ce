"""Line integrals of volumes by Joseph's method, without a stored matrix."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from operators.ct.volume import ScanVectors, VolumeGrid
from operators.pair import MatchedPair

if TYPE_CHECKING:
    from collections.abc import Callable


class ScanGeometry(Protocol):
    """What describes a three-dimensional scan: anything that can place its rays."""

    def vectors(self) -> ScanVectors:
        """Return emitter and detector of every view."""


@dataclass(frozen=True)
class ProjectionCost:
    """What a projector needs on this computer.

    Args:
        forward_seconds: Time of A x.
        adjoint_seconds: Time of A^H y.
        memory_bytes: One volume and its projections, which is all that either direction holds.
    """

    forward_seconds: float
    adjoint_seconds: float
    memory_bytes: int


class VolumeProjector(MatchedPair):
    r"""Line integrals of a volume along the rays of any scan, after :cite:t:`joseph1982`.

    .. math:: (A x)_r = \frac{\Delta}{|\cos \theta_r|} \sum_m
        \sum_{p \in \text{plane } m} h(q_{r,m} - p) \, x_p

    A ray crosses the voxel-centre planes of the axis that it runs along most, counted in voxels,
    :math:`\Delta / |\cos \theta_r|` mm apart. In each plane the volume is interpolated between the
    four voxels about the crossing :math:`q_{r,m}` with the hat function h, and is zero outside.

    Both directions compute the same weights in float64 on the fly, so that memory holds x and y
    and nothing of their size besides. Bits don't depend on ``torch.get_num_threads()``. Nothing is
    kept on a device: tensors on the CPU go through numba, which compiles for some seconds once and
    caches, and tensors on a CUDA device through Triton. Rays are whole lines: what lies behind the
    source or the detector is counted.

    Args:
        grid: Shape (slices, rows, columns) and voxel size in mm; x is in 1/mm.
        scan: Views and detector; y has shape (views, detector rows, detector columns), no unit.

    Raises:
        ValueError: If a point source is inside the cylinder about the volume.
    """

    def __init__(self, grid: VolumeGrid, scan: ScanVectors) -> None:
        super().__init__(grid.shape, scan.shape)
        if scan.kind == "cone":
            _check_sources(grid, scan)
        self.grid, self.scan = grid, scan

    @override
    def _product(self, v: Tensor, transposed: bool) -> Tensor:
        product = _on_cuda if v.is_cuda else _on_cpu
        return product(v, self.grid, self.scan, transposed)

    def estimate_cost(
        self, num_views: int = 4, dtype: torch.dtype = torch.float32
    ) -> ProjectionCost:
        """Time a few views of one volume on the CPU, before a long run.

        Allocates a volume of full size. The estimate is as good as the computer is idle, and for
        the number of threads in use now.

        Args:
            num_views: Views to time, spread over the scan; at most its views.
            dtype: torch.float32 or torch.float64.

        Raises:
            ValueError: If there is no view to time.
        """
        if num_views < 1:
            raise ValueError(f"estimate_cost: num_views must be positive, got {num_views}")
        total = len(self.scan.emitter)
        few = VolumeProjector(self.grid, _some_views(self.scan, min(num_views, total)))
        _compile(self.scan, dtype)
        x, y = torch.ones(few.in_shape, dtype=dtype), torch.ones(few.out_shape, dtype=dtype)
        scale = total / len(few.scan.emitter)
        numbers = torch.Size(self.in_shape).numel() + torch.Size(self.out_shape).numel()
        return ProjectionCost(
            scale * _seconds(few, x), scale * _seconds(few.adjoint, y), numbers * dtype.itemsize
        )


class _GeometryProjector3D(VolumeProjector):
    _kind: Literal["parallel", "cone"]

    def __init__(self, grid: VolumeGrid, geometry: ScanGeometry) -> None:
        scan = geometry.vectors()
        if scan.kind != self._kind:
            name = type(self).__name__
            raise ValueError(f"{name}: expected a {self._kind} geometry, got a {scan.kind} one")
        super().__init__(grid, scan)
        self.geometry = geometry


class ParallelBeam3D(_GeometryProjector3D):
    """Line integrals of a volume along parallel rays, by :class:`VolumeProjector`.

    Args:
        grid: Shape (slices, rows, columns) and voxel size in mm; x is in 1/mm.
        geometry: Views and detector; y has shape (views, detector rows, detector columns), no unit.

    Raises:
        ValueError: If the rays of the geometry come from a point.
    """

    _kind = "parallel"


class ConeBeam3D(_GeometryProjector3D):
    """Line integrals of a volume from a point source, by :class:`VolumeProjector`.

    Args:
        grid: Shape (slices, rows, columns) and voxel size in mm; x is in 1/mm.
        geometry: Views and detector; y has shape (views, detector rows, detector columns), no unit.

    Raises:
        ValueError: If the rays of the geometry are parallel, or a source is inside the cylinder
            about the volume.
    """

    _kind = "cone"


def _on_cpu(v: Tensor, grid: VolumeGrid, scan: ScanVectors, transposed: bool) -> Tensor:
    if v.device.type != "cpu":
        raise ValueError(f"VolumeProjector: runs on cpu and cuda, got a tensor on {v.device}")
    from operators.ct import joseph

    # half precision is computed in single
    exact = v if v.dtype in (torch.float32, torch.float64) else v.float()
    function = joseph.backproject if transposed else joseph.project
    array = exact.detach().contiguous().numpy()
    return torch.from_numpy(function(array, grid, scan, torch.get_num_threads())).to(v.dtype)


def _on_cuda(v: Tensor, grid: VolumeGrid, scan: ScanVectors, transposed: bool) -> Tensor:
    from operators.ct import triton_volume

    function = triton_volume.backproject if transposed else triton_volume.project
    return function(v.contiguous(), grid, scan)


def _check_sources(grid: VolumeGrid, scan: ScanVectors) -> None:
    distance = np.hypot(scan.emitter[:, 0], scan.emitter[:, 1])
    inside = (distance <= grid.radius) & (np.abs(scan.emitter[:, 2]) <= grid.height / 2)
    if inside.any():
        view = int(np.argmax(inside))
        raise ValueError(
            f"the source of view {view} is {distance[view]:g} mm from the axis, inside the volume, "
            f"which reaches {grid.radius:g} mm"
        )


def _some_views(scan: ScanVectors, number: int) -> ScanVectors:
    chosen = np.linspace(0, len(scan.emitter), number, endpoint=False).astype(int)
    return replace(scan, **{k: getattr(scan, k)[chosen] for k in ("emitter", "centre", "u", "v")})


def _compile(scan: ScanVectors, dtype: torch.dtype) -> None:
    """Have both directions compiled, so that this isn't timed."""
    grid = VolumeGrid((1, 1, 1))
    one = replace(_some_views(scan, 1), detector_shape=(1, 1))
    for transposed in (False, True):
        _on_cpu(torch.zeros((1, 1, 1, 1), dtype=dtype), grid, one, transposed)


def _seconds(function: Callable[[Tensor], Tensor], v: Tensor) -> float:
    start = time.perf_counter()
    function(v)
    return time.perf_counter() - start
