"""Numbers of the comparison with exact posteriors of graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from invdiff.study.scripted import Arrays, Metrics

__all__ = ["exact_scores", "z_scores"]

# below it an error is rounding
_LEAST = 1e-9


def z_scores(found: Arrays) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return errors of means, and of second moments, in standard errors; flat.

    The standard errors are those of the average over the repeats. Runs that agree with each other
    need not be right: no error counts as less than that of as many independent draws of the
    posterior.

    Args:
        found: As from ``compare``.
    """
    exact, draws = found["true_covariance"], found["draws"]
    variances = np.diagonal(exact)
    least = np.sqrt(found["product_variance"] / draws)
    products = _in_errors(found["product"], exact, least)
    means = _in_errors(found["mean"], found["true_mean"], np.sqrt(variances / draws))
    return means, products[np.triu_indices(len(exact))]


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
    bias = np.abs(found["mean"].mean(0) - found["true_mean"]) / np.sqrt(variances)
    means, products = z_scores(found)
    scores = {
        "z": float(np.abs(means).max()),
        "bias": float(bias.max()),
        "std_ratio": float(np.sqrt(found["variance"].mean() / variances.mean())),
        "z_products": float(np.abs(products).max()),
    }
    evidence = found["evidence"]
    if np.isfinite(evidence).all():
        scores["evidence"] = float(evidence.mean())
        scores["evidence_error"] = float(evidence.std(ddof=1)) / len(evidence) ** 0.5
    return {f"{name}_{key}": value for name, value in scores.items()}


def _in_errors(estimates: NDArray[Any], exact: NDArray[Any], least: NDArray[Any]) -> NDArray[Any]:
    error = estimates.std(0, ddof=1) / len(estimates) ** 0.5
    return np.asarray((estimates.mean(0) - exact) / np.maximum(error, np.maximum(least, _LEAST)))
