"""Magnetic resonance imaging: Cartesian sampling and coil sensitivities."""

from operators.mri.cartesian import CartesianMRI, DynamicMRI, SingleCoilDynamicMRI, SingleCoilMRI
from operators.mri.channels import compression_matrix, mix_channels, noise_covariance, prewhiten
from operators.mri.coils import birdcage_maps, calibration_region, estimate_maps
from operators.mri.espirit import EspiritMaps, espirit_maps
from operators.mri.espirit_sigpy import sigpy_espirit_maps
from operators.mri.masks import cartesian_lines, equispaced_lines

__all__ = [
    "CartesianMRI",
    "DynamicMRI",
    "EspiritMaps",
    "SingleCoilDynamicMRI",
    "SingleCoilMRI",
    "birdcage_maps",
    "calibration_region",
    "cartesian_lines",
    "compression_matrix",
    "equispaced_lines",
    "espirit_maps",
    "estimate_maps",
    "mix_channels",
    "noise_covariance",
    "prewhiten",
    "sigpy_espirit_maps",
]
