"""Volumes from priors of slices: coupled along z, in chunks, on several machines."""

from invdiff.volumes.coupling import Coupling, Independent, QuadraticZ, Together, TotalVariationZ
from invdiff.volumes.perpendicular import PerpendicularPrior
from invdiff.volumes.perpendicular_red_diff import perpendicular_red_diff
from invdiff.volumes.red_diff import RedDiff3D
from invdiff.volumes.sampler import VolumeSampler
from invdiff.volumes.slice_prior import SlicePrior
from invdiff.volumes.split import Split, Whole

__all__ = [
    "Coupling",
    "Independent",
    "PerpendicularPrior",
    "QuadraticZ",
    "RedDiff3D",
    "SlicePrior",
    "Split",
    "Together",
    "TotalVariationZ",
    "VolumeSampler",
    "Whole",
    "perpendicular_red_diff",
]
