"""Computed tomography: geometries, matched projectors, filtered back-projection."""

from operators.ct.fbp import filtered_backprojection
from operators.ct.geometry import FanGeometry, ImageGrid, ParallelGeometry
from operators.ct.sparse import FanBeam2D, ParallelBeam2D, SparseOperator
from operators.ct.unknown_center import DetectorShift, UnknownCenterRadon

__all__ = [
    "DetectorShift",
    "FanBeam2D",
    "FanGeometry",
    "ImageGrid",
    "ParallelBeam2D",
    "ParallelGeometry",
    "SparseOperator",
    "UnknownCenterRadon",
    "filtered_backprojection",
]
