"""The evidence that weights estimate: right on average, though not its logarithm."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.theory import evidence_error
from invdiff.theory.chapter.drawing import draw_estimates, draw_law
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.statistical_rates_ensemble import NOISE, ROW, Y, weighted_runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]


def _evidence() -> Reading:
    offsets = _evidence_offsets()
    found = evidence_error(offsets, 0.0)
    ratios = offsets.exp()
    running = ratios.cumsum(0) / torch.arange(1, len(ratios) + 1)
    places = torch.tensor([2**k for k in range(4, 12)])
    error = ratios.std() / places.sqrt()
    labels = ("runs of 16 particles", "mean of estimated / exact evidence", "exact")

    def draw(axes: Axes) -> None:
        draw_estimates(axes, places, running[places - 1], error, 1.0, labels)
        axes.set_xscale("log")

    return Reading(
        found.ratio, 1.0, 4.5 * found.ratio_error, "4.5 standard errors of 2048 runs", draw
    )


def _log_evidence() -> Reading:
    offsets = _evidence_offsets()
    found = evidence_error(offsets, 0.0)
    runs = len(offsets)
    # Z is unbiased, so that a normal log Z has minus half its variance as mean
    error = math.sqrt(found.std**2 / runs + found.std**4 / (2 * runs))
    x = torch.linspace(-4, 4, 200, dtype=torch.float64) * found.std - found.std**2 / 2
    z = (x + found.std**2 / 2) / found.std
    return Reading(
        found.bias,
        -(found.std**2) / 2,
        4.5 * error,
        "4.5 standard errors of 2048 runs, more than the skewness of log Z",
        lambda axes: draw_law(
            axes,
            offsets,
            x,
            torch.exp(-(z**2) / 2) / (found.std * math.sqrt(2 * math.pi)),
            "log of estimated / exact evidence",
            name="normal law of mean -s^2 / 2",
        ),
    )


def _evidence_offsets() -> Tensor:
    """Return log of the estimated over the exact evidence, of many runs of few particles."""
    variance = float(ROW @ ROW.mT) + NOISE**2
    exact = -(Y**2 / variance + math.log(2 * math.pi * variance)) / 2
    estimates: Tensor = weighted_runs(0.0, 16, 2048).info["log_evidence"]
    return estimates - exact


FACTS = (
    Fact(
        "evidence-unbiased",
        "The evidence that the weights estimate is right on average, even with few particles.",
        r"E[\hat Z / Z] = 1",
        ("delmoral2004",),
        _evidence,
    ),
    Fact(
        "log-evidence-biased",
        "The logarithm of the estimate is not: it is too low by half of its variance.",
        r"E[\log \hat Z - \log Z] \approx -\tfrac12 \mathrm{Var}[\log \hat Z]",
        ("delmoral2004",),
        _log_evidence,
    ),
)
