"""Conformal intervals: what they promise, on average and for one calibration."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.rng import derive_generator
from invdiff.theory.chapter.drawing import draw_estimates, draw_law
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.uncertainty import ConformalCalibration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_CALIBRATED, _LEVEL = 24, 0.9


def _conformal_mean() -> Reading:
    counts, runs = range(9, 30), 50
    held = torch.stack([_conformal(count, runs).mean() for count in counts])
    ranks = [math.ceil((count + 1) * _LEVEL - 1e-9) for count in counts]
    exact = [rank / (count + 1) for rank, count in zip(ranks, counts, strict=True)]
    errors = torch.tensor([_beta_spread(r, n) for r, n in zip(ranks, counts, strict=True)])
    errors = errors / runs**0.5
    labels = ("truths n of the calibration", "coverage", "ceil(0.9 (n + 1)) / (n + 1)")

    def draw(axes: Axes) -> None:
        draw_estimates(axes, counts, held, errors, exact, labels)
        axes.set_ylim(0.86, 1)

    return Reading(
        float(held.mean()),
        sum(exact) / len(exact),
        4.5 * float(errors.norm()) / len(counts),
        "4.5 standard errors of the mean over n = 9 ... 29, 50 calibrations each",
        draw,
    )


def _conformal_spread() -> Reading:
    held, rank = _conformal(_CALIBRATED, 800), 23
    exact = _beta_spread(rank, _CALIBRATED)
    error = float((held - held.mean()).square().std()) / (2 * exact * len(held) ** 0.5)
    x = torch.linspace(0.6, 0.999, 200, dtype=torch.float64)
    # Beta(23, 2)
    density = rank * (rank + 1) * x ** (rank - 1) * (1 - x)
    return Reading(
        float(held.std()),
        exact,
        4.5 * error,
        "4.5 standard errors of 800 calibrations",
        lambda axes: draw_law(axes, held, x, density, "coverage of one calibration, 24 truths"),
    )


def _conformal(count: int, runs: int) -> Tensor:
    """Return the coverage for standard normal truths of factors fitted on n of them."""
    generator = derive_generator(0, "conformal", count, runs)
    truths = torch.randn(runs, count, generator=generator, dtype=torch.float64)
    # two samples of mean 0 and standard deviation 1
    half = 0.5**0.5 * torch.ones(count, dtype=torch.float64)
    samples = torch.stack([half, -half])
    fits = [ConformalCalibration.fit([samples], [truth], _LEVEL) for truth in truths]
    ends = torch.stack([fit.apply(samples[:, :1])[1] for fit in fits]).flatten()
    return torch.erf(ends / 2**0.5)


def _beta_spread(rank: int, count: int) -> float:
    """Return the standard deviation of Beta(rank, n + 1 - rank)."""
    return math.sqrt(rank * (count + 1 - rank) / ((count + 1) ** 2 * (count + 2)))


FACTS = (
    Fact(
        "conformal-coverage",
        "Intervals calibrated on n exchangeable truths hold a new one as often as stated, and "
        "by how much more is known: it depends on n alone.",
        r"P(x^* \in C_n) = \frac{\lceil (n + 1) \ell \rceil}{n + 1}",
        ("vovk2005",),
        _conformal_mean,
    ),
    Fact(
        "conformal-coverage-law",
        "The promise is for an average over calibrations: the coverage of one is drawn from a "
        "beta law, and with few truths it may be far below.",
        r"P(x^* \in C_n \mid C_n) \sim \mathrm{Beta}(k, n + 1 - k), \qquad "
        r"k = \lceil (n + 1) \ell \rceil",
        ("vovk2005",),
        _conformal_spread,
    ),
)
