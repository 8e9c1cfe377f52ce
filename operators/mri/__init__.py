"""Magnetic resonance imaging: Cartesian and other sampling, coil sensitivities."""

from operators.mri.cartesian import CartesianMRI, SingleCoilMRI
from operators.mri.coils import birdcage_maps, calibration_region, estimate_maps
from operators.mri.density import density_compensation, radial_density
from operators.mri.masks import cartesian_lines, equispaced_lines
from operators.mri.noncartesian import NonCartesianMRI
from operators.mri.nufft import NUFFT
from operators.mri.off_resonance import OffResonanceMRI
from operators.mri.toeplitz import ToeplitzNormal
from operators.mri.trajectories import (
    radial_trajectory,
    radial_trajectory_3d,
    spiral_trajectory,
    stack_of_stars,
)

__all__ = [
    "NUFFT",
    "CartesianMRI",
    "NonCartesianMRI",
    "OffResonanceMRI",
    "SingleCoilMRI",
    "ToeplitzNormal",
    "birdcage_maps",
    "calibration_region",
    "cartesian_lines",
    "density_compensation",
    "equispaced_lines",
    "estimate_maps",
    "radial_density",
    "radial_trajectory",
    "radial_trajectory_3d",
    "spiral_trajectory",
    "stack_of_stars",
]
