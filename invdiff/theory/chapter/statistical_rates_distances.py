"""Distances between samples: their rate, their floor, and their bias."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.rng import derive_generator
from invdiff.theory import c2st, mmd2, wasserstein_1d
from invdiff.theory.chapter.drawing import draw_estimates, draw_law
from invdiff.theory.chapter.fact import Fact, Reading

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_BANDWIDTH = 1.2


def _wasserstein_floor() -> Reading:
    counts, runs = (4, 8, 16, 32, 64, 128), 1000
    generator = derive_generator(0, "wasserstein-floor")
    squares = []
    for count in counts:
        x, y = torch.rand(2, count, runs, generator=generator, dtype=torch.float64)
        squares.append(wasserstein_1d(x, y) ** 2 * 3 * (count + 1))
    scaled = torch.stack(squares)
    mean, error = scaled.mean(1), scaled.std(1) / runs**0.5
    exact = torch.tensor([1 / (3 * (count + 1)) for count in counts], dtype=torch.float64)
    labels = ("samples n of either cloud", "squared distance", "1 / 3(n + 1)")

    def draw(axes: Axes) -> None:
        draw_estimates(axes, counts, mean * exact, error * exact, exact, labels)
        axes.set(xscale="log", yscale="log")

    return Reading(
        float(mean.mean()),
        1.0,
        4.5 * float(error.norm()) / len(counts),
        "4.5 standard errors of the mean over six counts",
        draw,
    )


def _mmd_unbiased() -> Reading:
    shifts, count, runs = torch.linspace(0, 2, 5, dtype=torch.float64), 10, 200
    values = torch.stack([_discrepancies(float(shift), count, runs) for shift in shifts])
    mean, error = values.mean(1), values.std(1) / runs**0.5
    # two dimensions: the kernel is smoothed by the variance 2 of a difference
    wide = _BANDWIDTH**2 + 2
    exact = 2 * _BANDWIDTH**2 / wide * (1 - torch.exp(-(shifts**2) / (2 * wide)))
    return Reading(
        float(mean[-1]),
        float(exact[-1]),
        4.5 * float(error[-1]),
        f"4.5 standard errors of {runs} pairs of 10 samples",
        lambda axes: draw_estimates(
            axes,
            shifts,
            mean,
            error,
            exact,
            ("distance of the means", "squared discrepancy", "of the laws"),
        ),
    )


def _mmd_variance() -> Reading:
    count, runs = 10, 1500
    values = _discrepancies(0.0, count, runs)
    square = _BANDWIDTH**2
    # E k^2, E (E[k | x])^2 and E k for standard normals of two dimensions
    whole = square / (square + 4)
    part = square**2 / ((square + 1) * (square + 3))
    mean = square / (square + 2)
    centred = whole - 2 * part + mean**2
    exact = math.sqrt(4 * centred * (1 / (count * (count - 1)) + 1 / count**2))
    measured = float(values.square().mean().sqrt())
    error = float(values.square().std()) / (2 * measured * runs**0.5)
    x = torch.linspace(-3, 5, 200, dtype=torch.float64) * exact
    normal = torch.exp(-((x / exact) ** 2) / 2) / (exact * math.sqrt(2 * math.pi))
    return Reading(
        measured,
        exact,
        4.5 * error,
        f"4.5 standard errors of {runs} pairs of 10 samples",
        lambda axes: draw_law(
            axes, values, x, normal, "squared discrepancy of equal laws", name="normal law"
        ),
    )


def _classifier() -> Reading:
    shifts, count = (0.0, 1.0, 2.0), 500
    accuracies = torch.tensor([_accuracy(shift, count) for shift in shifts], dtype=torch.float64)
    exact = torch.special.ndtr(torch.tensor(shifts, dtype=torch.float64) / 2)
    error = (exact * (1 - exact) / (2 * count)).sqrt()
    return Reading(
        float(((accuracies - exact) / error).abs().max()),
        4.5,
        0.0,
        "the largest of three deviations from the Bayes accuracy, in standard errors",
        lambda axes: draw_estimates(
            axes,
            shifts,
            accuracies,
            error,
            exact,
            ("distance of the means", "accuracy", "best possible"),
        ),
        "<=",
    )


def _discrepancies(shift: float, count: int, runs: int) -> Tensor:
    generator = derive_generator(0, "discrepancy", str(shift), count, runs)
    x, y = torch.randn(2, runs, count, 2, generator=generator, dtype=torch.float64)
    y[..., 0] += shift
    pairs = zip(x, y, strict=True)
    return torch.tensor([mmd2(a, b, bandwidth=_BANDWIDTH) for a, b in pairs], dtype=torch.float64)


def _accuracy(shift: float, count: int) -> float:
    generator = derive_generator(0, "classifier", str(shift))
    x, y = torch.randn(2, count, 1, generator=generator, dtype=torch.float64)
    return c2st(x, y + shift, generator=generator, num_folds=2, num_hidden=8, num_steps=60)


FACTS = (
    Fact(
        "wasserstein-floor",
        "Two clouds of n draws of one law are never at distance zero: of the uniform law the "
        "squared distance is 1/(3(n + 1)) on average. State this floor beside a measured one.",
        r"E\, W_2^2(\hat U_n, \hat U_n') = \frac{1}{3 (n + 1)}",
        ("bobkov2019",),
        _wasserstein_floor,
    ),
    Fact(
        "mmd-unbiased",
        "The kernel discrepancy without its diagonal is right on average with ten samples.",
        r"E\, \widehat{MMD}^2 = \frac{2 h^2}{h^2 + 2} "
        r"\Bigl(1 - e^{-\delta^2 / 2 (h^2 + 2)}\Bigr), \qquad p = N(0, 1_2),\; q = N(\delta, 1_2)",
        ("gretton2012",),
        _mmd_unbiased,
    ),
    Fact(
        "mmd-null-spread",
        "Between equal laws it scatters by an amount of order 1/n, and not as a normal law does: "
        "one value near zero says little.",
        r"\mathrm{Var}\, \widehat{MMD}^2 = 4 \Bigl(\frac{1}{n (n - 1)} + \frac{1}{n^2}\Bigr) "
        r"E\, \bar k(x, x')^2, \qquad \bar k \text{ the centred kernel}",
        ("gretton2012",),
        _mmd_variance,
    ),
    Fact(
        "classifier-accuracy",
        "A trained classifier tells samples apart as often as the best possible one: half of the "
        "time if the laws are equal.",
        r"\mathrm{accuracy} = \tfrac12 + \tfrac12 TV(p, q) = \Phi(\delta / 2)",
        ("lopezpaz2017",),
        _classifier,
    ),
)
