"""Classical reconstructions, to compare with."""

from invdiff.classical.direct import fbp, interpolate, zero_filled
from invdiff.classical.l1_wavelet import l1_wavelet
from invdiff.classical.least_squares import cg_sense, least_squares
from invdiff.classical.total_variation import total_variation

__all__ = [
    "cg_sense",
    "fbp",
    "interpolate",
    "l1_wavelet",
    "least_squares",
    "total_variation",
    "zero_filled",
]
