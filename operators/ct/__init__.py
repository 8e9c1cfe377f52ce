"""Computed tomography: geometries, matched projectors, filtered back-projection."""

from operators.ct.fbp import filtered_backprojection
from operators.ct.geometry import FanGeometry, ImageGrid, ParallelGeometry
from operators.ct.sparse import FanBeam2D, ParallelBeam2D, SparseOperator
from operators.ct.volume import ScanVectors, VolumeGrid
from operators.ct.volume_projector import (
    ConeBeam3D,
    ParallelBeam3D,
    ProjectionCost,
    VolumeProjector,
)

__all__ = [
    "ConeBeam3D",
    "FanBeam2D",
    "FanGeometry",
    "ImageGrid",
    "ParallelBeam2D",
    "ParallelBeam3D",
    "ParallelGeometry",
    "ProjectionCost",
    "ScanVectors",
    "SparseOperator",
    "VolumeGrid",
    "VolumeProjector",
    "filtered_backprojection",
]
