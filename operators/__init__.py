"""Forward operators of medical imaging with exact adjoints, and their noise."""

from operators.base import Composition, LinearOperator, Scaled, Stack, Sum, SVDOperator
from operators.blur import Blur, ReflectiveBlur
from operators.ct import (
    ConeBeam3D,
    FanBeam2D,
    FanGeometry,
    ImageGrid,
    ParallelBeam2D,
    ParallelBeam3D,
    ParallelGeometry,
    ProjectionCost,
    ScanVectors,
    SparseOperator,
    VolumeGrid,
    VolumeProjector,
    filtered_backprojection,
)
from operators.differences import FiniteDifferences
from operators.identity import Diagonal, Identity, RealToComplex
from operators.mask import Mask
from operators.mri import (
    CartesianMRI,
    SingleCoilMRI,
    birdcage_maps,
    calibration_region,
    cartesian_lines,
    equispaced_lines,
    estimate_maps,
)
from operators.noise import GaussianNoise, NoiseModel, PoissonNoise, TransmissionNoise
from operators.psf import gaussian_psf, motion_psf, uniform_psf
from operators.resample import Downsample

__all__ = [
    "Blur",
    "CartesianMRI",
    "Composition",
    "ConeBeam3D",
    "Diagonal",
    "Downsample",
    "FanBeam2D",
    "FanGeometry",
    "FiniteDifferences",
    "GaussianNoise",
    "Identity",
    "ImageGrid",
    "LinearOperator",
    "Mask",
    "NoiseModel",
    "ParallelBeam2D",
    "ParallelBeam3D",
    "ParallelGeometry",
    "PoissonNoise",
    "ProjectionCost",
    "RealToComplex",
    "ReflectiveBlur",
    "SVDOperator",
    "Scaled",
    "ScanVectors",
    "SingleCoilMRI",
    "SparseOperator",
    "Stack",
    "Sum",
    "TransmissionNoise",
    "VolumeGrid",
    "VolumeProjector",
    "birdcage_maps",
    "calibration_region",
    "cartesian_lines",
    "equispaced_lines",
    "estimate_maps",
    "filtered_backprojection",
    "gaussian_psf",
    "motion_psf",
    "uniform_psf",
]
