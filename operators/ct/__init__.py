"""Computed tomography: geometries, matched projectors, filtered back-projection."""

from operators.ct.fbp import filtered_backprojection
from operators.ct.geometry import FanGeometry, ImageGrid, ParallelGeometry
from operators.ct.matrix_free import MatrixFreeBeam2D
from operators.ct.sparse import FanBeam2D, ParallelBeam2D, SparseOperator

__all__ = [
    "FanBeam2D",
    "FanGeometry",
    "ImageGrid",
    "MatrixFreeBeam2D",
    "ParallelBeam2D",
    "ParallelGeometry",
    "SparseOperator",
    "filtered_backprojection",
]
