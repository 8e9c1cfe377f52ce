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
    NUFFT,
    CartesianMRI,
    NonCartesianMRI,
    OffResonanceMRI,
    SingleCoilMRI,
    ToeplitzNormal,
    birdcage_maps,
    calibration_region,
    cartesian_lines,
    density_compensation,
    equispaced_lines,
    estimate_maps,
    radial_density,
    radial_trajectory,
    radial_trajectory_3d,
    spiral_trajectory,
    stack_of_stars,
)
from operators.noise import GaussianNoise, NoiseModel, PoissonNoise, TransmissionNoise
from operators.psf import gaussian_psf, motion_psf, uniform_psf
from operators.resample import Downsample

__all__ = [
    "NUFFT",
    "Blur",
    "CartesianMRI",
    "Composition",
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
    "NonCartesianMRI",
    "OffResonanceMRI",
    "ParallelBeam2D",
    "ParallelGeometry",
    "PoissonNoise",
    "RealToComplex",
    "ReflectiveBlur",
    "SVDOperator",
    "Scaled",
    "SingleCoilMRI",
    "SparseOperator",
    "Stack",
    "Sum",
    "ToeplitzNormal",
    "TransmissionNoise",
    "birdcage_maps",
    "calibration_region",
    "cartesian_lines",
    "density_compensation",
    "equispaced_lines",
    "estimate_maps",
    "filtered_backprojection",
    "gaussian_psf",
    "motion_psf",
    "radial_density",
    "radial_trajectory",
    "radial_trajectory_3d",
    "spiral_trajectory",
    "stack_of_stars",
    "uniform_psf",
]
