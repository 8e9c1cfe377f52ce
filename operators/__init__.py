"""Forward operators of medical imaging with exact adjoints, and their noise."""

from operators.base import Composition, LinearOperator, Scaled, Stack, Sum, SVDOperator
from operators.blur import Blur, ReflectiveBlur
from operators.ct import (
    DetectorShift,
    FanBeam2D,
    FanGeometry,
    ImageGrid,
    ParallelBeam2D,
    ParallelGeometry,
    SparseOperator,
    UnknownCenterRadon,
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
from operators.noise import (
    CorrelatedGaussianNoise,
    GaussianNoise,
    NoiseModel,
    PoissonGaussianNoise,
    PoissonNoise,
    Prewhitened,
    RicianNoise,
    TransmissionNoise,
    Whitening,
    estimate_covariance,
    prewhitened,
)
from operators.nonlinear import NonlinearOperator, PhaseRetrieval
from operators.projection import RandomProjection, StructuredRandomProjection
from operators.psf import (
    defocus_psf,
    gaussian_psf,
    motion_psf,
    random_motion_psf,
    uniform_psf,
)
from operators.resample import Downsample, Resample
from operators.space_varying import SpaceVaryingBlur, interpolation_weights

__all__ = [
    "Blur",
    "CartesianMRI",
    "Composition",
    "CorrelatedGaussianNoise",
    "DetectorShift",
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
    "NonlinearOperator",
    "ParallelBeam2D",
    "ParallelGeometry",
    "PhaseRetrieval",
    "PoissonGaussianNoise",
    "PoissonNoise",
    "Prewhitened",
    "RandomProjection",
    "RealToComplex",
    "ReflectiveBlur",
    "Resample",
    "RicianNoise",
    "SVDOperator",
    "Scaled",
    "SingleCoilMRI",
    "SpaceVaryingBlur",
    "SparseOperator",
    "Stack",
    "StructuredRandomProjection",
    "Sum",
    "TransmissionNoise",
    "UnknownCenterRadon",
    "Whitening",
    "birdcage_maps",
    "calibration_region",
    "cartesian_lines",
    "defocus_psf",
    "equispaced_lines",
    "estimate_covariance",
    "estimate_maps",
    "filtered_backprojection",
    "gaussian_psf",
    "interpolation_weights",
    "motion_psf",
    "prewhitened",
    "random_motion_psf",
    "uniform_psf",
]
