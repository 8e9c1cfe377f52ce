"""Classical reconstructions, to compare with."""

from invdiff.classical.algebraic import cgls, sirt
from invdiff.classical.direct import fbp, fdk, interpolate, zero_filled
from invdiff.classical.l1_wavelet import l1_wavelet
from invdiff.classical.least_squares import cg_sense, least_squares
from invdiff.classical.total_variation import total_variation

__all__ = [
    "cg_sense",
    "cgls",
    "fbp",
    "fdk",
    "interpolate",
    "l1_wavelet",
    "least_squares",
    "sirt",
    "total_variation",
    "zero_filled",
]
