"""Whether what samples claim is true: intervals, coverage, scores, and their calibration.

All of it is stated per pixel, and of complex images for the magnitude.
"""

from invdiff.uncertainty.conformal import ConformalCalibration
from invdiff.uncertainty.intervals import (
    coverage,
    coverage_curve,
    credible_interval,
    weighted_quantiles,
)
from invdiff.uncertainty.scores import crps, spread_error_correlation, z_scores

__all__ = [
    "ConformalCalibration",
    "coverage",
    "coverage_curve",
    "credible_interval",
    "crps",
    "spread_error_correlation",
    "weighted_quantiles",
    "z_scores",
]
