"""Measurements and images in, reconstructions out, geometry kept."""

from invdiff.data.arrays import Array, read_array
from invdiff.data.dicom import read_dicom, write_dicom
from invdiff.data.fastmri import read_fastmri
from invdiff.data.image import Image, Modality, Unit
from invdiff.data.kspace import KSpace, crop_readout, kspace_from_array, read_kspace_array
from invdiff.data.mrd import read_ismrmrd
from invdiff.data.nifti import read_nifti, write_nifti
from invdiff.data.placement import fit, orient
from invdiff.data.resampling import fill, onto, to_spacing
from invdiff.data.samples import list_samples, sample_path
from invdiff.data.scan import read_scan
from invdiff.data.units import MU_WATER, hu_to_mu, mu_to_hu

__all__ = [
    "MU_WATER",
    "Array",
    "Image",
    "KSpace",
    "Modality",
    "Unit",
    "crop_readout",
    "fill",
    "fit",
    "hu_to_mu",
    "kspace_from_array",
    "list_samples",
    "mu_to_hu",
    "onto",
    "orient",
    "read_array",
    "read_dicom",
    "read_fastmri",
    "read_ismrmrd",
    "read_kspace_array",
    "read_nifti",
    "read_scan",
    "sample_path",
    "to_spacing",
    "write_dicom",
    "write_nifti",
]
