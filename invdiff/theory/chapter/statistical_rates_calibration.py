"""Calibration: where the truth lies among samples of a posterior, right or wrong."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.priors import GaussianPrior
from invdiff.rng import derive_generator
from invdiff.theory import rank_counts, rank_statistics, uniformity_p_value
from invdiff.theory.chapter.drawing import COLORS, draw_estimates
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.uncertainty import coverage, credible_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_SAMPLES, _PROBLEMS, _NOISE = 19, 8000, 0.7


def _uniform() -> Reading:
    ranks = _ranks(1.0)
    return Reading(
        uniformity_p_value(ranks, _SAMPLES),
        1e-4,
        0.0,
        f"a p-value of {_PROBLEMS} problems: below with probability 1e-4",
        lambda axes: _draw_ranks(axes, ranks),
        ">=",
    )


def _too_wide() -> Reading:
    widths = (0.5, 1.0, 2.0)
    ranks = [_ranks(width).double() for width in widths]
    squares = torch.stack([(rank - _SAMPLES / 2) ** 2 for rank in ranks])
    mean, error = squares.mean(1), squares.std(1) / _PROBLEMS**0.5
    exact = [_rank_variance(width) for width in widths]
    return Reading(
        float(mean[2]),
        exact[2],
        4.5 * float(error[2]),
        f"4.5 standard errors of {_PROBLEMS} problems",
        lambda axes: draw_estimates(
            axes,
            widths,
            mean,
            error,
            exact,
            ("spread of the samples over the posterior's", "variance of the ranks", "arcsine law"),
        ),
    )


def _exchangeable() -> Reading:
    levels = (0.3, 0.5, 0.7, 0.9)
    measured = {width: _held(width, levels) for width in (1.0, 0.6)}
    error = (torch.tensor([level * (1 - level) for level in levels]) / _PROBLEMS).sqrt()

    def draw(axes: Axes) -> None:
        axes.plot(levels, measured[0.6], "s--", color=COLORS[1], markersize=3, label="spread 0.6")
        labels = ("level stated", "truths held", "level")
        draw_estimates(axes, levels, measured[1.0], error, levels, labels)

    return Reading(
        float(measured[1.0][-1]),
        levels[-1],
        4.5 * float(error[-1]),
        f"4.5 standard errors of {_PROBLEMS} problems",
        draw,
    )


def _overconfident() -> Reading:
    widths, level = (0.25, 0.5, 0.75, 1.0), 0.9
    measured = torch.stack([_held(width, (level,))[0] for width in widths])
    # 19 samples hold the truth between the lowest and the highest for a level of 0.9
    exact = torch.tensor([_held_by_range(width) for width in widths])
    error = (exact * (1 - exact) / _PROBLEMS).sqrt()
    return Reading(
        float(measured[1]),
        float(exact[1]),
        4.5 * float(error[1]),
        f"4.5 standard errors of {_PROBLEMS} problems",
        lambda axes: draw_estimates(
            axes,
            widths,
            measured,
            error,
            exact,
            ("spread of the samples over the posterior's", "truths held", "1 - 2 E Phi(-t/s)^19"),
        ),
    )


def _held(width: float, levels: tuple[float, ...]) -> Tensor:
    truths, samples = _problems(width)
    return torch.stack(
        [coverage(*credible_interval(samples, level), truths, dim=(0, 1)) for level in levels]
    )


def _ranks(width: float) -> Tensor:
    truths, samples = _problems(width)
    return rank_statistics(truths, samples, generator=derive_generator(0, "ties")).flatten()


def _problems(width: float) -> tuple[Tensor, Tensor]:
    """Draw truths (P, 1), and samples (N, P, 1) about the posterior mean of each."""
    generator = derive_generator(0, "calibration", str(width))
    prior = GaussianPrior(torch.zeros(1, dtype=torch.float64), 1.0)
    truths = prior.sample(_PROBLEMS, generator=generator)
    normal = torch.randn(1 + _SAMPLES, *truths.shape, generator=generator, dtype=torch.float64)
    # the denoiser is the posterior mean of the image given its noisy copy
    mean = prior(truths + _NOISE * normal[0], torch.tensor(_NOISE))
    return truths, mean + width * math.sqrt(_NOISE**2 / (1 + _NOISE**2)) * normal[1:]


def _rank_variance(width: float) -> float:
    """Return that of the rank of a standard normal truth among N(0, width^2)."""
    both = 0.25 + math.asin(1 / (1 + width**2)) / (2 * math.pi)
    count = _SAMPLES
    return count / 2 + count * (count - 1) * both - (count / 2) ** 2


def _held_by_range(width: float) -> float:
    """Return how often N(0, width^2) samples have a standard normal truth between them."""
    t = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    density = torch.exp(-(t**2) / 2) / math.sqrt(2 * math.pi)
    outside = density * torch.special.ndtr(-t / width) ** _SAMPLES
    return 1 - 2 * float(torch.trapezoid(outside, t))


def _draw_ranks(axes: Axes, ranks: Tensor) -> None:
    counts, expected = rank_counts(ranks, _SAMPLES, _SAMPLES + 1)
    places = torch.arange(_SAMPLES + 1)
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
    Fact(
        "credible-coverage",
        "A credible interval of exact samples holds the truth as often as it states, also with "
        "19 samples: the i-th of N in order stands for i / (N + 1).",
        r"P\bigl(x^{(i)} \le x^* \le x^{(N + 1 - i)}\bigr) = 1 - \frac{2 i}{N + 1}",
        ("talts2018",),
        _exchangeable,
    ),
    Fact(
        "credible-overconfident",
        "Samples with half of the true spread hold the truth far less often than they state.",
        r"P = 1 - 2 \int \varphi(t)\, \Phi(-t / s)^N\, dt, \qquad \text{level } "
        r"\frac{N - 1}{N + 1}",
        ("talts2018",),
        _overconfident,
    ),
)
