"""Credible intervals: how often they hold the truth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.theory.chapter.drawing import COLORS, draw_estimates
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.statistical_rates_ranks import NUM_PROBLEMS, NUM_SAMPLES, problems
from invdiff.uncertainty import coverage, credible_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]


def _exchangeable() -> Reading:
    levels = (0.3, 0.5, 0.7, 0.9)
    measured = {width: _held(width, levels) for width in (1.0, 0.6)}
    error = (torch.tensor([level * (1 - level) for level in levels]) / NUM_PROBLEMS).sqrt()

    def draw(axes: Axes) -> None:
        axes.plot(levels, measured[0.6], "s--", color=COLORS[1], markersize=3, label="spread 0.6")
        labels = ("level stated", "truths held", "level")
        draw_estimates(axes, levels, measured[1.0], error, levels, labels)

    return Reading(
        float(measured[1.0][-1]),
        levels[-1],
        4.5 * float(error[-1]),
        f"4.5 standard errors of {NUM_PROBLEMS} problems",
        draw,
    )


def _overconfident() -> Reading:
    widths, level = (0.25, 0.5, 0.75, 1.0), 0.9
    measured = torch.stack([_held(width, (level,))[0] for width in widths])
    # 19 samples hold the truth between the lowest and the highest for a level of 0.9
    exact = torch.tensor([_held_by_range(width) for width in widths])
    error = (exact * (1 - exact) / NUM_PROBLEMS).sqrt()
    return Reading(
        float(measured[1]),
        float(exact[1]),
        4.5 * float(error[1]),
        f"4.5 standard errors of {NUM_PROBLEMS} problems",
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
    truths, samples = problems(width)
    return torch.stack(
        [coverage(*credible_interval(samples, level), truths, dim=(0, 1)) for level in levels]
    )


def _held_by_range(width: float) -> float:
    """Return how often N(0, width^2) samples have a standard normal truth between them."""
    t = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    density = torch.exp(-(t**2) / 2) / math.sqrt(2 * math.pi)
    outside = density * torch.special.ndtr(-t / width) ** NUM_SAMPLES
    return 1 - 2 * float(torch.trapezoid(outside, t))


FACTS = (
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
