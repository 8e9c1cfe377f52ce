"""The laboratory: exact answers, and measures of how far samples are from them."""

from invdiff.theory.diffused import (
    DiffusedPosterior,
    ExactPrior,
    diffused_posterior,
    log_evidence,
)
from invdiff.theory.sliced import (
    max_sliced_wasserstein1,
    max_sliced_wasserstein2,
    mean_sliced_wasserstein2,
    wasserstein_1d,
)

__all__ = [
    "DiffusedPosterior",
    "ExactPrior",
    "diffused_posterior",
    "log_evidence",
    "max_sliced_wasserstein1",
    "max_sliced_wasserstein2",
    "mean_sliced_wasserstein2",
    "wasserstein_1d",
]
