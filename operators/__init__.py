"""Forward operators of medical imaging with exact adjoints, and their noise."""

from operators.base import Composition, LinearOperator, Scaled, Stack, Sum, SVDOperator
from operators.blur import Blur, ReflectiveBlur
from operators.ct import (
    ConeGeometry,
    FanBeam2D,
    FanGeometry,
    ImageGrid,
    ParallelBeam2D,
    ParallelGeometry,
    ParallelGeometry3D,
    ScanVectors,
    SparseOperator,
    VectorBeam2D,
    VectorGeometry2D,
    VectorGeometry3D,
    VolumeGrid,
    feldkamp,
    filtered_backprojection,
    from_astra_vectors,
    parker_weights,
    to_astra_vectors,
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
    "ConeGeometry",
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
    "ParallelGeometry",
    "ParallelGeometry3D",
    "PoissonNoise",
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
    "VectorBeam2D",
    "VectorGeometry2D",
    "VectorGeometry3D",
    "VolumeGrid",
    "birdcage_maps",
    "calibration_region",
    "cartesian_lines",
    "equispaced_lines",
    "estimate_maps",
    "feldkamp",
    "filtered_backprojection",
    "from_astra_vectors",
    "gaussian_psf",
    "motion_psf",
    "parker_weights",
    "to_astra_vectors",
    "uniform_psf",
]
