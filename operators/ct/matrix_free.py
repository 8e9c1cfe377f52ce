"""Two-dimensional CT whose weights are computed in every application, not stored."""

from __future__ import annotations

import numpy as np
from torch import Tensor
from typing_extensions import override

from operators.ct.frames import RayFrames, ray_frames
from operators.ct.geometry import Array, FanGeometry, ImageGrid, ParallelGeometry, check_source
from operators.ct.volume import ScanVectors, VolumeGrid
from operators.pair import MatchedPair


class MatrixFreeBeam2D(MatchedPair):
    """Line integrals as those of ParallelBeam2D and FanBeam2D, for scans too large to store.

    The weights are the same lengths, worked out on the GPU by Triton kernels (``pip install
    triton``) in both directions alike, so that the adjoint is exact; memory is needed for the
    images and the sinograms alone, and twice for the images. In float32 a length carries rounding
    of about 1e-6 of the grid's size in pixels. A ray along the border between two pixels gives its
    length to either of them.

    It runs on CUDA tensors, in float32 or float64, after ``operator.to("cuda")``. On the CPU it
    runs only for tests, in Triton's interpreter: with ``TRITON_INTERPRET=1`` set before triton is
    first imported.

    Args:
        grid: Image shape (rows, columns) and pixel size in mm; x is in 1/mm.
        geometry: Views and detector; y has shape (views, detectors) and no unit.

    Raises:
        ValueError: If the source of a fan would pass through the image, or its detector is curved
            or tilted; on application, if the
            tensor is on the CPU and kernels are not interpreted, or in half precision.
    """

    _values: Tensor
    _directions: Tensor
    _views: Tensor
    _axes: Tensor

    def __init__(self, grid: ImageGrid, geometry: ParallelGeometry | FanGeometry) -> None:
        if isinstance(geometry, FanGeometry):
            check_source(geometry.source_to_axis, grid)
            if geometry.detector != "flat" or geometry.detector_tilt:
                raise ValueError("MatrixFreeBeam2D: expected a flat detector without tilt")
        super().__init__(grid.shape, geometry.shape)
        self.grid, self.geometry = grid, geometry
        volume = VolumeGrid((1, *grid.shape), (1.0, *grid.pixel_size))
        frames = ray_frames(volume, _slice_scan(geometry), reach=0.5)
        self.register_buffer("_values", frames.values)
        self.register_buffer("_directions", frames.directions)
        self.register_buffer("_views", frames.views)
        self.register_buffer("_axes", frames.axes)
        self._aligned = frames.aligned

    @override
    def _product(self, v: Tensor, transposed: bool) -> Tensor:
        from operators.ct import triton_plane

        direction = triton_plane.backproject if transposed else triton_plane.project
        frames = RayFrames(self._values, self._directions, self._views, self._axes, self._aligned)
        return direction(v, self.grid, frames.to(v.dtype, v.device), self.geometry.shape)


def _slice_scan(geometry: ParallelGeometry | FanGeometry) -> ScanVectors:
    """Describe the scan of an image as that of a volume of one slice, by one detector row."""
    along, forward = (_lifted(axes) for axes in geometry._axes())
    centre, step = geometry.detector_offset * along, geometry.detector_spacing * along
    up = np.broadcast_to([0.0, 0.0, 1.0], along.shape)
    detector = (1, geometry.num_detectors)
    if not isinstance(geometry, FanGeometry):
        return ScanVectors("parallel", forward, centre, step, up, detector)
    source = -geometry.source_to_axis * forward
    centre = centre + source + geometry.source_to_detector * forward
    return ScanVectors("cone", source, centre, step, up, detector)


def _lifted(vectors: Array) -> Array:
    return np.pad(vectors, ((0, 0), (0, 1)))
