"""Volumes from priors of slices: coupled along z, in chunks, on several machines."""

from invdiff.volumes.coupling import Coupling, Independent, QuadraticZ, Together, TotalVariationZ
from invdiff.volumes.dds import DDS3D
from invdiff.volumes.diffpir import DiffPIR3D
from invdiff.volumes.mbir import DiffusionMBIR
from invdiff.volumes.perpendicular import PerpendicularPrior
from invdiff.volumes.perpendicular_red_diff import perpendicular_red_diff
from invdiff.volumes.pinned import KnownSlices, PinnedSlices, sample_in_blocks
from invdiff.volumes.red_diff import RedDiff3D
from invdiff.volumes.sampler import VolumeSampler
from invdiff.volumes.slice_prior import SlicePrior
from invdiff.volumes.split import Split, Whole

__all__ = [
    "DDS3D",
    "Coupling",
    "DiffPIR3D",
    "DiffusionMBIR",
    "Independent",
    "KnownSlices",
    "PerpendicularPrior",
    "PinnedSlices",
    "QuadraticZ",
    "RedDiff3D",
    "SlicePrior",
    "Split",
    "Together",
    "TotalVariationZ",
    "VolumeSampler",
    "Whole",
    "perpendicular_red_diff",
    "sample_in_blocks",
]
