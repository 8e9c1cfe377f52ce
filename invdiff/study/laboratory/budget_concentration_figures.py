"""Figures of the study of budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from invdiff.study.laboratory.budget_concentration_problem import METHODS
from invdiff.study.scripted import Arrays, Metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["density_figure", "rate_figure"]

_COLORS = dict(zip(METHODS, ("#b5482a", "#2f6f9f", "#5b8c3e"), strict=True))
_LABELS = dict(
    zip(METHODS, ("rollover budget forcing", "best-of-N", "weighted particles"), strict=True)
)
_GREY = "#98a2b3"


def rate_figure(metrics: Metrics, arrays: Arrays) -> Figure:
    """Draw the divergence over the calls of one sample, both logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 4.0), layout="constrained")
    axis = figure.subplots()
    floor = 2 * metrics["floor"]
    for method, color in _COLORS.items():
        values = np.maximum(arrays[f"kl_{method}"], floor)
        axis.loglog(arrays[f"calls_{method}"], values, "o-", color=color, label=_LABELS[method])
    calls = arrays["calls_best-of-n"]
    axis.plot(calls, arrays["exact_best-of-n"], "--", color="black", lw=1, label="best-of-N, exact")
    axis.axhline(metrics["kl_prior"], color=_GREY, ls=":", label="the prior")
    axis.axhspan(floor / 2, floor, color=_GREY, alpha=0.4, label="exact samples")
    axis.set(xlabel="network calls of a sample", ylabel="KL to the exact posterior / nats")
    axis.legend(fontsize=7.5)
    return figure


def density_figure(arrays: Arrays) -> Figure:
    """Draw histograms of the samples beside the exact density."""
    from matplotlib.figure import Figure

    shown, grid, density = arrays["shown"], arrays["grid"], arrays["density"]
    figure = Figure(figsize=(8.4, 4.4), layout="constrained")
    axes = figure.subplots(len(shown), len(METHODS), sharex=True, sharey=True)
    for row, budget in zip(axes, shown, strict=True):
        for axis, (method, color) in zip(row, _COLORS.items(), strict=True):
            samples = arrays[f"x_{method}_{budget}"]
            axis.hist(samples, np.linspace(-3, 3, 61), density=True, color=color, alpha=0.6)
            axis.plot(grid, density, color="black", lw=1.2)
            axis.set_title(f"{_LABELS[method]}, {budget} calls", fontsize=8.5)
    axes[0, 0].set(ylim=(0, 2.2 * density.max()))
    for axis in axes[-1]:
        axis.set_xlabel("x")
    for axis in axes[:, 0]:
        axis.set_ylabel("density")
    return figure
