"""The laboratory: exact answers, and measures of how far samples are from them."""

from invdiff.theory.cloud import Cloud
from invdiff.theory.diffused import (
    DiffusedPosterior,
    ExactPrior,
    diffused_posterior,
    log_evidence,
)
from invdiff.theory.evidence import EvidenceError, evidence_error
from invdiff.theory.marginals import cdf, marginal, quantiles
from invdiff.theory.mixture_problem import (
    MixtureProblem,
    mixture_problem,
    mode_distance_growth,
)
from invdiff.theory.mmd import BlockMMD, block_mmd2, median_bandwidth, mmd2
from invdiff.theory.modes import mode_weight_error, mode_weights
from invdiff.theory.moments import exact_std, mean_error_floor, mean_error_in_sd, std_ratio
from invdiff.theory.ranks import (
    rank_counts,
    rank_statistics,
    simulated_ranks,
    uniformity_p_value,
)
from invdiff.theory.sliced import (
    max_sliced_wasserstein1,
    max_sliced_wasserstein2,
    mean_sliced_wasserstein2,
    wasserstein_1d,
)
from invdiff.theory.spacings import spacing_divergence
from invdiff.theory.two_samples import c2st

__all__ = [
    "BlockMMD",
    "Cloud",
    "DiffusedPosterior",
    "EvidenceError",
    "ExactPrior",
    "MixtureProblem",
    "block_mmd2",
    "c2st",
    "cdf",
    "diffused_posterior",
    "evidence_error",
    "exact_std",
    "log_evidence",
    "marginal",
    "max_sliced_wasserstein1",
    "max_sliced_wasserstein2",
    "mean_error_floor",
    "mean_error_in_sd",
    "mean_sliced_wasserstein2",
    "median_bandwidth",
    "mixture_problem",
    "mmd2",
    "mode_distance_growth",
    "mode_weight_error",
    "mode_weights",
    "quantiles",
    "rank_counts",
    "rank_statistics",
    "simulated_ranks",
    "spacing_divergence",
    "std_ratio",
    "uniformity_p_value",
    "wasserstein_1d",
]
