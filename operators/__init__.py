"""Forward operators of medical imaging with exact adjoints, and their noise."""

from operators.base import Composition, LinearOperator, Scaled, Stack, Sum, SVDOperator
from operators.blur import Blur, ReflectiveBlur
from operators.ct import (
    FanBeam2D,
    FanGeometry,
    ImageGrid,
    ParallelBeam2D,
    ParallelGeometry,
    SparseOperator,
    filtered_backprojection,
)
from operators.differences import FiniteDifferences
from operators.identity import Diagonal, Identity, RealToComplex
from operators.mask import Mask
from operators.mri import (
    CartesianMRI,
    DynamicMRI,
    EspiritMaps,
    SingleCoilDynamicMRI,
    SingleCoilMRI,
    birdcage_maps,
    calibration_region,
    cartesian_lines,
    compression_matrix,
    equispaced_lines,
    espirit_maps,
    estimate_maps,
    mix_channels,
    noise_covariance,
    prewhiten,
    sigpy_espirit_maps,
)
from operators.noise import GaussianNoise, NoiseModel, PoissonNoise, TransmissionNoise
from operators.psf import gaussian_psf, motion_psf, uniform_psf
from operators.resample import Downsample

__all__ = [
    "Blur",
    "CartesianMRI",
    "Composition",
    "Diagonal",
    "Downsample",
    "DynamicMRI",
    "EspiritMaps",
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
    "PoissonNoise",
    "RealToComplex",
    "ReflectiveBlur",
    "SVDOperator",
    "Scaled",
    "SingleCoilDynamicMRI",
    "SingleCoilMRI",
    "SparseOperator",
    "Stack",
    "Sum",
    "TransmissionNoise",
    "birdcage_maps",
    "calibration_region",
    "cartesian_lines",
    "compression_matrix",
    "equispaced_lines",
    "espirit_maps",
    "estimate_maps",
    "filtered_backprojection",
    "gaussian_psf",
    "mix_channels",
    "motion_psf",
    "noise_covariance",
    "prewhiten",
    "sigpy_espirit_maps",
    "uniform_psf",
]
