"""Magnetic resonance imaging: Cartesian sampling and coil sensitivities."""

from operators.mri.cartesian import CartesianMRI, DynamicMRI, SingleCoilDynamicMRI, SingleCoilMRI
from operators.mri.coils import birdcage_maps, calibration_region, estimate_maps
from operators.mri.masks import cartesian_lines, equispaced_lines

__all__ = [
    "CartesianMRI",
    "DynamicMRI",
    "SingleCoilDynamicMRI",
    "SingleCoilMRI",
    "birdcage_maps",
    "calibration_region",
    "cartesian_lines",
    "equispaced_lines",
    "estimate_maps",
]
