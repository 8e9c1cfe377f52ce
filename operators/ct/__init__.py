"""Computed tomography: geometries, matched projectors, filtered back-projection."""

from operators.ct.astra_vectors import from_astra_vectors, to_astra_vectors
from operators.ct.cone import ConeGeometry
from operators.ct.fbp import filtered_backprojection
from operators.ct.feldkamp import feldkamp
from operators.ct.geometry import FanGeometry, ImageGrid, ParallelGeometry
from operators.ct.geometry3d import ParallelGeometry3D, VectorGeometry3D
from operators.ct.matrix_free import MatrixFreeBeam2D
from operators.ct.redundancy import parker_weights
from operators.ct.sparse import FanBeam2D, ParallelBeam2D, SparseOperator, VectorBeam2D
from operators.ct.unknown_center import DetectorShift, UnknownCenterRadon
from operators.ct.vectors2d import VectorGeometry2D
from operators.ct.volume import ScanVectors, VolumeGrid
from operators.ct.volume_projector import (
    ConeBeam3D,
    ParallelBeam3D,
    ProjectionCost,
    VolumeProjector,
)

__all__ = [
    "ConeBeam3D",
    "ConeGeometry",
    "DetectorShift",
    "FanBeam2D",
    "FanGeometry",
    "ImageGrid",
    "MatrixFreeBeam2D",
    "ParallelBeam2D",
    "ParallelBeam3D",
    "ParallelGeometry",
    "ParallelGeometry3D",
    "ProjectionCost",
    "ScanVectors",
    "SparseOperator",
    "UnknownCenterRadon",
    "VectorBeam2D",
    "VectorGeometry2D",
    "VectorGeometry3D",
    "VolumeGrid",
    "VolumeProjector",
    "feldkamp",
    "filtered_backprojection",
    "from_astra_vectors",
    "parker_weights",
    "to_astra_vectors",
]
