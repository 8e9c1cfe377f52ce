"""Numbers of the comparison with exact posteriors of graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from invdiff.study.scripted import Arrays, Metrics

__all__ = ["exact_scores", "z_scores"]

# a standard error below this share of a unit is rounding: all repeats agree
_LEAST_ERROR = 1e-9


def z_scores(estimates: NDArray[Any], exact: NDArray[Any]) -> NDArray[Any]:
    """Return the error of the mean over the repeats, in standard errors that the repeats show.

    Args:
        estimates: Shape ``(repeats, ...)``.
        exact: What they estimate.
    """
    error = estimates.std(0, ddof=1) / len(estimates) ** 0.5
    return np.asarray((estimates.mean(0) - exact) / np.maximum(error, _LEAST_ERROR))


def exact_scores(key: str, found: Arrays) -> Metrics:
    """Return the scores of one sampler on one problem.

    Args:
        key: Ends the names of the scores.
        found: As from ``compare``.

    Returns:
        ``z``, the largest error of a mean in standard errors; ``bias``, the largest in exact
        standard deviations; ``std_ratio``; ``z_products``, as z, of the second moments; and, of
        samplers that estimate it, ``evidence`` over the exact one with ``evidence_error``.
    """
    exact = found["true_covariance"]
    variances = np.diagonal(exact)
    upper = np.triu_indices(len(exact))
    bias = np.abs(found["mean"].mean(0) - found["true_mean"]) / np.sqrt(variances)
    products = z_scores(found["product"], exact)[upper]
    scores = {
        "z": float(np.abs(z_scores(found["mean"], found["true_mean"])).max()),
        "bias": float(bias.max()),
        "std_ratio": float(np.sqrt(found["variance"].mean() / variances.mean())),
        "z_products": float(np.abs(products).max()),
    }
    evidence = found["evidence"]
    if np.isfinite(evidence).all():
        scores["evidence"] = float(evidence.mean())
        scores["evidence_error"] = float(evidence.std(ddof=1)) / len(evidence) ** 0.5
    return {f"{name}_{key}": value for name, value in scores.items()}
