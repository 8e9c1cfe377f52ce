"""Weighted ensembles: the rate in particles, and what a wrong score adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior
from invdiff.rng import derive_generator
from invdiff.samplers import Ensemble, Samples
from invdiff.theory.chapter.drawing import draw_estimates, draw_order
from invdiff.theory.chapter.fact import Fact, Reading
from operators import GaussianNoise, Matrix

if TYPE_CHECKING:
    pass

__all__ = ["FACTS", "NOISE", "ROW", "Y", "weighted_runs"]

NOISE, Y = 0.4, 1.5
ROW = torch.tensor([[1.0, 0.5]], dtype=torch.float64)
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
    squares = torch.stack([_square_errors(weighted_runs(0.0, n, runs)) for n in counts])
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


def _two_terms() -> Reading:
    errors, counts, runs = (0.0, 0.5, 1.0), (32, 128), 128
    design = torch.tensor([(e**2, 1 / n) for e in errors for n in counts], dtype=torch.float64)
    squares = torch.stack(
        [_square_errors(weighted_runs(e, n, runs)) for e in errors for n in counts]
    )
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


def weighted_runs(error: float, count: int, runs: int) -> Samples:
    """Return the particles of many runs, under a score that is wrong by so much."""
    y = torch.full((runs, 1), Y, dtype=torch.float64)
    likelihood = Likelihood(Matrix(ROW), GaussianNoise(NOISE), y)
    generators = [derive_generator(0, "ensemble", run, count, str(error)) for run in range(runs)]
    return _ENSEMBLE.sample(likelihood, _Shifted(error), count, generator=generators)


def _square_errors(samples: Samples) -> Tensor:
    """Return the squared error of the mean in exact variances, one number a run."""
    posterior = _posterior_covariance()
    exact = posterior @ ROW.flatten() * Y / NOISE**2
    return ((samples.mean() - exact) ** 2 / posterior.diagonal()).mean(-1)


def _posterior_covariance() -> Tensor:
    return torch.linalg.inv(torch.eye(2) + ROW.mT @ ROW / NOISE**2)


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
)
