"""Magnetic resonance imaging: Cartesian sampling, coil sensitivities and their noise."""

from operators.mri.cartesian import CartesianMRI, DynamicMRI, SingleCoilDynamicMRI, SingleCoilMRI
from operators.mri.channels import compression_matrix, mix_channels
from operators.mri.coils import birdcage_maps, calibration_region, estimate_maps
from operators.mri.densities import random_points, variable_density_lines, variable_density_points
from operators.mri.density import density_compensation, radial_density
from operators.mri.espirit import EspiritMaps, espirit_maps
from operators.mri.espirit_sigpy import sigpy_espirit_maps
from operators.mri.lattices import caipirinha_lattice, sheared_lines
from operators.mri.masks import cartesian_lines, equispaced_lines
from operators.mri.noncartesian import NonCartesianMRI
from operators.mri.nufft import NUFFT
from operators.mri.off_resonance import OffResonanceMRI
from operators.mri.poisson_disc import poisson_disc_points
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
    "DynamicMRI",
    "EspiritMaps",
    "NonCartesianMRI",
    "OffResonanceMRI",
    "SingleCoilDynamicMRI",
    "SingleCoilMRI",
    "ToeplitzNormal",
    "birdcage_maps",
    "caipirinha_lattice",
    "calibration_region",
    "cartesian_lines",
    "compression_matrix",
    "density_compensation",
    "equispaced_lines",
    "espirit_maps",
    "estimate_maps",
    "mix_channels",
    "poisson_disc_points",
    "radial_density",
    "radial_trajectory",
    "radial_trajectory_3d",
    "random_points",
    "sheared_lines",
    "sigpy_espirit_maps",
    "spiral_trajectory",
    "stack_of_stars",
    "variable_density_lines",
    "variable_density_points",
]
