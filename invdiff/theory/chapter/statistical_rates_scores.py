"""Scores of samples: the CRPS of small ensembles, and the price of looking like an image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from invdiff.likelihood import Likelihood
from invdiff.metrics import psnr
from invdiff.priors import GaussianPrior
from invdiff.rng import derive_generator
from invdiff.theory.chapter.drawing import draw_estimates
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.uncertainty import crps
from operators import GaussianNoise, Mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]


def _crps() -> Reading:
    return _crps_reading(fair=True)


def _crps_excess() -> Reading:
    return _crps_reading(fair=False)


def _crps_reading(*, fair: bool) -> Reading:
    sizes, runs, sigma, truth = (2, 3, 5, 9, 17), 20000, 1.3, 0.8
    generator = derive_generator(0, "crps", str(fair))
    x = sigma * torch.randn(sizes[-1], runs, generator=generator, dtype=torch.float64)
    center = torch.full((runs,), truth, dtype=torch.float64)
    values = torch.stack([crps(x[:size], center, fair=fair) for size in sizes])
    mean, error = values.mean(1), values.std(1) / runs**0.5
    limit = _normal_crps(sigma, truth)
    excess = [0.0 if fair else sigma / (size * math.sqrt(math.pi)) for size in sizes]
    exact = [limit + part for part in excess]
    place = 1
    return Reading(
        float(mean[place]),
        exact[place],
        4.5 * float(error[place]),
        f"4.5 standard errors of {runs} ensembles of 3",
        lambda axes: draw_estimates(
            axes,
            sizes,
            mean,
            error,
            exact,
            ("samples N", "CRPS", "of the law" if fair else "of the law + s / (N sqrt(pi))"),
        ),
    )


def _perception() -> Reading:
    prior = GaussianPrior(torch.zeros(8, 8, dtype=torch.float64), 1.0)
    generator = derive_generator(0, "three-decibels")
    levels, runs = (0.3, 0.6, 1.0), 40
    gains = torch.tensor([_gain(prior, level, runs, generator) for level in levels])
    # of the squared error of the mean over all pixels; the other has half of it in common
    error = 10 / math.log(10) * math.sqrt(2 / 64 / runs) / 2
    exact = 10 * math.log10(2)
    labels = ("noise of the data", "PSNR of mean - of a sample, dB", "10 log10(2)")

    def draw(axes: Axes) -> None:
        draw_estimates(axes, levels, gains, error, exact, labels)
        axes.set_ylim(2, 4)

    return Reading(
        float(gains.mean()),
        exact,
        4.5 * error / len(levels) ** 0.5,
        "4.5 standard errors of 120 images of 64 pixels",
        draw,
    )


def _gain(prior: GaussianPrior, level: float, runs: int, generator: torch.Generator) -> float:
    """Return how many dB the posterior mean is closer to the truths than samples."""
    noise, operator = GaussianNoise(level), Mask(torch.ones(prior.image_shape, dtype=torch.bool))
    squares = []
    for truth in prior.sample(runs, generator=generator):
        y = noise.sample(operator(truth), generator=generator)
        posterior = prior.posterior(Likelihood(operator, noise, y))
        images = torch.cat([posterior.mean()[None], posterior.sample(16, generator=generator)])
        # squared errors have means, decibels do not
        squares.append(10 ** (-psnr(images, truth, data_range=1.0) / 10))
    of_mean, *of_samples = torch.stack(squares).mean(0)
    return float(10 * torch.log10(torch.stack(of_samples).mean() / of_mean))


def _normal_crps(sigma: float, truth: float) -> float:
    z = truth / sigma
    density = math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return sigma * (z * math.erf(z / 2**0.5) + 2 * density - 1 / math.sqrt(math.pi))


FACTS = (
    Fact(
        "crps-fair",
        "The fair score of a small ensemble is on average that of the law it is drawn from.",
        r"E\, \mathrm{CRPS}_{fair} = s \Bigl(z (2 \Phi(z) - 1) + 2 \varphi(z) - "
        r"\frac{1}{\sqrt \pi}\Bigr), \qquad z = x^* / s",
        ("ferro2014", "gneiting2007"),
        _crps,
    ),
    Fact(
        "crps-excess",
        "The plain score is larger for small ensembles, by the spread over N: do not compare "
        "ensembles of different sizes by it.",
        r"E\, \mathrm{CRPS}_N = E\, \mathrm{CRPS}_{fair} + \frac{s}{N \sqrt \pi}",
        ("ferro2014", "gneiting2007"),
        _crps_excess,
    ),
    Fact(
        "three-decibels",
        "A sample of the posterior has exactly twice the squared error of the posterior mean: "
        "looking like an image costs 3 dB.",
        r"E |\hat x - x^*|^2 = 2\, E |E[x \mid y] - x^*|^2, \qquad \hat x \sim p(x \mid y)",
        ("blau2018",),
        _perception,
    ),
)
