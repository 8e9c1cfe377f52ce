"""Volumes from priors of slices: coupled along z, in chunks, on several machines."""

from invdiff.volumes.both_ends import BidirectionalSampler
from invdiff.volumes.checkpoint import FileCheckpoints, fingerprint
from invdiff.volumes.coupling import (
    Independent,
    QuadraticZ,
    SliceCoupling,
    Together,
    TotalVariationZ,
)
from invdiff.volumes.dds import DDS3D
from invdiff.volumes.diffpir import DiffPIR3D
from invdiff.volumes.ends_product import EndsProduct
from invdiff.volumes.execution import Execution
from invdiff.volumes.filled_gaps import fill_gaps, gap_sampler, linear_between
from invdiff.volumes.launch import device_of_environment, process_group, split_of_environment
from invdiff.volumes.mbir import DiffusionMBIR
from invdiff.volumes.one_end import OneEnd
from invdiff.volumes.perpendicular import PerpendicularPrior
from invdiff.volumes.perpendicular_red_diff import perpendicular_red_diff
from invdiff.volumes.pinned import KnownSlices, PinnedSlices, sample_in_blocks
from invdiff.volumes.ranks import RankSplit, slice_ranges
from invdiff.volumes.ranks_local import local_likelihood, local_prior, local_slices
from invdiff.volumes.red_diff import RedDiff3D
from invdiff.volumes.sampler import VolumeSampler
from invdiff.volumes.slice_prior import SlicePrior
from invdiff.volumes.split import Split, Whole
from invdiff.volumes.storage import Storage

__all__ = [
    "DDS3D",
    "BidirectionalSampler",
    "DiffPIR3D",
    "DiffusionMBIR",
    "EndsProduct",
    "Execution",
    "FileCheckpoints",
    "Independent",
    "KnownSlices",
    "OneEnd",
    "PerpendicularPrior",
    "PinnedSlices",
    "QuadraticZ",
    "RankSplit",
    "RedDiff3D",
    "SliceCoupling",
    "SlicePrior",
    "Split",
    "Storage",
    "Together",
    "TotalVariationZ",
    "VolumeSampler",
    "Whole",
    "device_of_environment",
    "fill_gaps",
    "fingerprint",
    "gap_sampler",
    "linear_between",
    "local_likelihood",
    "local_prior",
    "local_slices",
    "perpendicular_red_diff",
    "process_group",
    "sample_in_blocks",
    "slice_ranges",
    "split_of_environment",
]
