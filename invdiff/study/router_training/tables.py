"""The words and the table of a router."""

from __future__ import annotations

from collections.abc import Sequence

from invdiff.study.router_training.fitting import NUM_DRAWS
from invdiff.study.scripted import Metrics, Table

__all__ = ["reach", "router_table", "summary_text"]

# a router that is right this often is called sure
_SURE = 0.99


def router_table(metrics: Metrics, sigmas: Sequence[float]) -> Table:
    """Return how often the router is right, and how well it knows that, at each noise level."""
    names = ("accuracy", "cross_entropy", "calibration_error")
    rows = tuple(
        (f"{sigma:g}", *(f"{metrics[name][i]:.4f}" for name in names))
        for i, sigma in enumerate(sigmas)
    )
    columns = ("sigma", "accuracy", "cross entropy (nats)", "calibration error")
    caption = (
        f"Held-out slices under {NUM_DRAWS} draws of the noise. The calibration error is the "
        "mean distance between stated probability and how often it is right, in 10 bins."
    )
    return Table("The router", columns, rows, caption)


def reach(accuracy: Sequence[float], sigmas: Sequence[float]) -> str:
    """Say how often and at which noise levels the router is sure, or how often it is right."""
    sure = [sigma for sigma, value in zip(sigmas, accuracy, strict=True) if value >= _SURE]
    if sure:
        where = ", ".join(f"{sigma:g}" for sigma in sure)
        return f"the router is right in {100 * _SURE:g} % of the cases or more at sigma = {where}"
    lowest, sigma = min(zip(accuracy, sigmas, strict=True))
    return (
        f"the router is right in {100 * lowest:.1f} % of the cases at worst, at sigma = {sigma:g}"
    )


def summary_text(metrics: Metrics, names: Sequence[str], sigmas: Sequence[float]) -> str:
    """Say what the router was trained on, and how far it is right."""
    counts = " and ".join(f"{metrics[f'num_training_{name}']} of {name}" for name in names)
    people = (
        "people who are new to it"
        if metrics["by_subject"]
        else "scans of which it knows other slices, as subjects aren't known"
    )
    return (
        f"Trained on {counts}. On held-out slices of {people}, "
        f"{reach(metrics['accuracy'], sigmas)}."
    )
