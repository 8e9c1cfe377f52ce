"""Weighted ensembles: the rate in particles, the evidence, and what a wrong score adds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior
from invdiff.rng import derive_generator
from invdiff.samplers import Ensemble, Samples
from invdiff.theory import evidence_error
from invdiff.theory.chapter.drawing import draw_estimates, draw_law, draw_order
from invdiff.theory.chapter.fact import Fact, Reading
from operators import GaussianNoise, Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_NOISE, _Y = 0.4, 1.5
_ROW = torch.tensor([[1.0, 0.5]], dtype=torch.float64)
# where the score is wrong: in part along what is measured
_WRONG = torch.tensor([0.6, -0.8], dtype=torch.float64)
# 0.25 half ranges are the spread of the prior: the kernel of the sampler is exact
_ENSEMBLE = Ensemble(num_steps=12, sigma_max=5.0, prior_std=0.25)


class _Shifted:
    """The denoiser whose score is wrong by e v / (1 + sigma^2)."""

    def __init__(self, error: float) -> None:
        self.exact, self.error = _prior(), error
        self.data_range, self.image_shape = self.exact.data_range, self.exact.image_shape

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        share = sigma**2 / (1 + sigma**2)
        return self.exact(x, sigma) + self.error * share * _WRONG


def _rate() -> Reading:
    counts, runs = (16, 32, 64, 128, 256), 128
    squares = torch.stack([_square_errors(_samples(0.0, n, runs)) for n in counts])
    mean, error = squares.mean(1), squares.std(1) / runs**0.5
    weights = torch.tensor(counts, dtype=torch.float64).log()
    weights = (weights - weights.mean()) / (weights - weights.mean()).square().sum()
    return Reading(
        float(weights @ mean.log() / 2),
        -0.5,
        4.5 * float((weights * error / mean / 2).norm()),
        f"4.5 standard errors of {runs} runs",
        lambda axes: draw_order(
            axes, counts, {"posterior mean": (mean.sqrt(), -0.5)}, "particles N"
        ),
    )


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


def _two_terms() -> Reading:
    errors, counts, runs = (0.0, 0.5, 1.0), (32, 128), 128
    design = torch.tensor([(e**2, 1 / n) for e in errors for n in counts], dtype=torch.float64)
    squares = torch.stack([_square_errors(_samples(e, n, runs)) for e in errors for n in counts])
    # linear in the errors of each run, so that the runs tell the standard error
    fitted = torch.linalg.pinv(design) @ squares
    posterior = _posterior_covariance()
    # what the wrong score takes for the prior has its mean shifted by e v
    shift = posterior @ _WRONG
    exact = float((shift**2 / posterior.diagonal()).mean())
    mean, error = squares.mean(1).reshape(3, 2), squares.std(1).reshape(3, 2) / runs**0.5
    floor = float(fitted[1].mean()) / counts[1]
    return Reading(
        float(fitted[0].mean()),
        exact,
        4.5 * float(fitted[0].std()) / runs**0.5,
        f"4.5 standard errors of {runs} runs",
        lambda axes: draw_estimates(
            axes,
            [e**2 for e in errors],
            mean[:, 1],
            error[:, 1],
            [exact * e**2 + floor for e in errors],
            ("squared error of the score", "mean squared error", "C e^2 + fitted C' / N"),
        ),
    )


def _evidence_offsets() -> Tensor:
    """Return log of the estimated over the exact evidence, of many runs of few particles."""
    variance = float(_ROW @ _ROW.mT) + _NOISE**2
    exact = -(_Y**2 / variance + math.log(2 * math.pi * variance)) / 2
    estimates: Tensor = _samples(0.0, 16, 2048).info["log_evidence"]
    return estimates - exact


def _samples(error: float, count: int, runs: int) -> Samples:
    y = torch.full((runs, 1), _Y, dtype=torch.float64)
    likelihood = Likelihood(Matrix(_ROW), GaussianNoise(_NOISE), y)
    generators = [derive_generator(0, "ensemble", run, count, str(error)) for run in range(runs)]
    return _ENSEMBLE.sample(likelihood, _Shifted(error), count, generator=generators)


def _square_errors(samples: Samples) -> Tensor:
    """Return the squared error of the mean in exact variances, one number a run."""
    posterior = _posterior_covariance()
    exact = posterior @ _ROW.flatten() * _Y / _NOISE**2
    return ((samples.mean() - exact) ** 2 / posterior.diagonal()).mean(-1)


def _posterior_covariance() -> Tensor:
    return torch.linalg.inv(torch.eye(2) + _ROW.mT @ _ROW / _NOISE**2)


def _prior() -> GaussianPrior:
    return GaussianPrior(torch.zeros(2, dtype=torch.float64), 1.0)


FACTS = (
    Fact(
        "ensemble-rate",
        "The posterior mean of a weighted ensemble is off by a constant over the root of the "
        "number of particles.",
        r"\bigl(E |\hat m_N - m|^2\bigr)^{1/2} \propto N^{-1/2}",
        ("delmoral2004", "chen2025"),
        _rate,
    ),
    Fact(
        "ensemble-two-terms",
        "A wrong score adds an error that no number of particles removes: here the prior's mean "
        "is shifted by e v, and C is what the data leave of this shift.",
        r"E |\hat m - m|^2 = C e^2 + C' / N, \qquad C = \tfrac1d |D^{-1/2} P v|^2, "
        r"\quad D = \mathrm{diag}\, P",
        ("chen2025",),
        _two_terms,
    ),
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
