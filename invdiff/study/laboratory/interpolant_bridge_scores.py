"""What is kept of the runs of the study of restoration by a bridge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invdiff.study.laboratory.interpolant_bridge_runs import BODY
from invdiff.study.scripted import Arrays, Metrics

__all__ = ["gains", "gathered", "reliability", "shown"]

_NUM_GROUPS, _NUM_SHOWN = 10, 3


def gathered(runs: Arrays) -> Metrics:
    """Return the mean over the slices of each score, by its name and the method's."""
    scores = (name.split("/") for name in runs if "/" in name)
    return {
        f"{score}_{method}": float(runs[f"{method}/{score}"].mean())
        for method, score in scores
        if score != "images"
    }


def gains(runs: Arrays, names: Sequence[str]) -> Metrics:
    """Return gains over total variation in PSNR, with standard errors over slices (0 of one).

    Args:
        runs: Of all methods.
        names: Of those that are compared, by one sample and by as many as the budget allows.
    """
    metrics: Metrics = {}
    for name in names:
        for label, score in (("gain", "psnr"), ("gain_budget", "psnr_budget")):
            gain = runs[f"{name}/{score}"] - runs["tv/psnr"]
            metrics[f"{label}_{name}"] = float(gain.mean())
            spread = gain.std(ddof=1) if len(gain) > 1 else 0.0
            metrics[f"{label}_error_{name}"] = float(spread / np.sqrt(len(gain)))
    return metrics


def shown(runs: Arrays, truth: NDArray[Any], names: Sequence[str], best: str) -> Arrays:
    """Return the pictures of a few slices, spread evenly over the held-out ones.

    Args:
        runs: Of all methods.
        truth: ``(slices, height, width)``.
        names: Of the methods, of which the first sample is shown.
        best: The one whose mean and spread are shown.
    """
    rows = np.unique(np.linspace(0, len(truth) - 1, _NUM_SHOWN).round().astype(int))
    images = {f"shown/{n}": runs[f"{n}/images"][0, rows].astype(np.float32) for n in names}
    samples = runs[f"{best}/images"][:, rows].astype(np.float32)
    spread = {"shown/mean": samples.mean(0), "shown/std": samples.std(0, ddof=1)}
    return {"truth": truth[rows]} | images | spread


def reliability(samples: NDArray[Any], truth: NDArray[Any]) -> Arrays:
    """Return claimed and found errors of groups of pixels of the body, by the claimed one.

    Args:
        samples: ``(samples, slices, height, width)``.
        truth: ``(slices, height, width)``.
    """
    samples, body = samples.astype(np.float32), truth > BODY
    deviation = samples.std(0, ddof=1)[body] * np.sqrt(1 + 1 / len(samples))
    error = (samples.mean(0) - truth)[body]
    groups = np.array_split(np.argsort(deviation), _NUM_GROUPS)

    def root(values: NDArray[Any]) -> NDArray[Any]:
        return np.array([np.sqrt((values[group] ** 2).mean()) for group in groups])

    return {"reliability/claimed": root(deviation), "reliability/found": root(error)}
