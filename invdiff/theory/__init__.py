"""The laboratory: exact answers, and measures of how far samples are from them."""

from invdiff.theory.sliced import (
    max_sliced_wasserstein1,
    max_sliced_wasserstein2,
    mean_sliced_wasserstein2,
    wasserstein_1d,
)

__all__ = [
    "max_sliced_wasserstein1",
    "max_sliced_wasserstein2",
    "mean_sliced_wasserstein2",
    "wasserstein_1d",
]
