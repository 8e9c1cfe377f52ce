"""Volumes from priors of slices: coupled along z, in chunks, on several machines."""

from invdiff.volumes.coupling import Coupling, Independent, QuadraticZ, Together, TotalVariationZ
from invdiff.volumes.launch import device_of_environment, process_group, split_of_environment
from invdiff.volumes.ranks import RankSplit, slice_ranges
from invdiff.volumes.ranks_local import local_likelihood, local_prior, local_slices
from invdiff.volumes.red_diff import RedDiff3D
from invdiff.volumes.sampler import VolumeSampler
from invdiff.volumes.slice_prior import SlicePrior
from invdiff.volumes.split import Split, Whole

__all__ = [
    "Coupling",
    "Independent",
    "QuadraticZ",
    "RankSplit",
    "RedDiff3D",
    "SlicePrior",
    "Split",
    "Together",
    "TotalVariationZ",
    "VolumeSampler",
    "Whole",
    "device_of_environment",
    "local_likelihood",
    "local_prior",
    "local_slices",
    "process_group",
    "slice_ranges",
    "split_of_environment",
]
