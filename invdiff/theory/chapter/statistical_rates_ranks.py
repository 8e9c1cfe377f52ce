"""Ranks: where the truth lies among samples of a posterior, right or wrong."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.priors import GaussianPrior
from invdiff.rng import derive_generator
from invdiff.theory import rank_counts, rank_statistics, uniformity_p_value
from invdiff.theory.chapter.drawing import draw_estimates
from invdiff.theory.chapter.fact import Fact, Reading

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS", "NUM_PROBLEMS", "NUM_SAMPLES", "problems"]

NUM_SAMPLES, NUM_PROBLEMS, _NOISE = 19, 8000, 0.7


def _uniform() -> Reading:
    ranks = _ranks(1.0)
    return Reading(
        uniformity_p_value(ranks, NUM_SAMPLES),
        1e-4,
        0.0,
        f"a p-value of {NUM_PROBLEMS} problems: below with probability 1e-4",
        lambda axes: _draw_ranks(axes, ranks),
        ">=",
    )


def _too_wide() -> Reading:
    widths = (0.5, 1.0, 2.0)
    ranks = [_ranks(width).double() for width in widths]
    squares = torch.stack([(rank - NUM_SAMPLES / 2) ** 2 for rank in ranks])
    mean, error = squares.mean(1), squares.std(1) / NUM_PROBLEMS**0.5
    exact = [_rank_variance(width) for width in widths]
    return Reading(
        float(mean[2]),
        exact[2],
        4.5 * float(error[2]),
        f"4.5 standard errors of {NUM_PROBLEMS} problems",
        lambda axes: draw_estimates(
            axes,
            widths,
            mean,
            error,
            exact,
            ("spread of the samples over the posterior's", "variance of the ranks", "arcsine law"),
        ),
    )


def _ranks(width: float) -> Tensor:
    truths, samples = problems(width)
    return rank_statistics(truths, samples, generator=derive_generator(0, "ties")).flatten()


def problems(width: float) -> tuple[Tensor, Tensor]:
    """Draw truths (P, 1), and samples (N, P, 1) about the posterior mean of each."""
    generator = derive_generator(0, "calibration", str(width))
    prior = GaussianPrior(torch.zeros(1, dtype=torch.float64), 1.0)
    truths = prior.sample(NUM_PROBLEMS, generator=generator)
    normal = torch.randn(1 + NUM_SAMPLES, *truths.shape, generator=generator, dtype=torch.float64)
    # the denoiser is the posterior mean of the image given its noisy copy
    mean = prior(truths + _NOISE * normal[0], torch.tensor(_NOISE))
    return truths, mean + width * math.sqrt(_NOISE**2 / (1 + _NOISE**2)) * normal[1:]


def _rank_variance(width: float) -> float:
    """Return that of the rank of a standard normal truth among N(0, width^2)."""
    both = 0.25 + math.asin(1 / (1 + width**2)) / (2 * math.pi)
    count = NUM_SAMPLES
    return count / 2 + count * (count - 1) * both - (count / 2) ** 2


def _draw_ranks(axes: Axes, ranks: Tensor) -> None:
    counts, expected = rank_counts(ranks, NUM_SAMPLES, NUM_SAMPLES + 1)
    places = torch.arange(NUM_SAMPLES + 1)
    labels = ("rank of the truth among 19 samples", "problems", "uniform")
    draw_estimates(axes, places, counts, expected.sqrt(), expected, labels)
    axes.set_ylim(0, 1.5 * float(expected.max()))


FACTS = (
    Fact(
        "ranks-uniform",
        "Among samples of the exact posterior the truth has every rank equally often.",
        r"\#\{k : x^{(k)} < x^*\} \sim U\{0, \dots, N\}",
        ("talts2018",),
        _uniform,
    ),
    Fact(
        "ranks-too-wide",
        "Among samples that spread too much the truth is too often in the middle: for normal "
        "laws the variance of its rank follows from one arcsine.",
        r"\mathrm{Var}[r] = \frac N2 + N (N - 1) \Bigl(\frac14 + \frac{1}{2 \pi} "
        r"\arcsin \frac{1}{1 + s^2}\Bigr) - \frac{N^2}{4}",
        ("talts2018",),
        _too_wide,
    ),
)
