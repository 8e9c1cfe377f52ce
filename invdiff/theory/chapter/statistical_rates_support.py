"""Fitted scores: the rate in samples, and that only the dimension of the support matters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.priors import GaussianPrior
from invdiff.rng import derive_generator
from invdiff.theory.chapter.drawing import COLORS, draw_estimates, draw_order
from invdiff.theory.chapter.fact import Fact, Reading

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_RANK, _SIGMA = 3, 0.5


def _intrinsic_dimension() -> Reading:
    dims, count, runs = (8, 16, 32, 64, 128), 400, 60
    errors = torch.stack([_fit_errors(dim, _RANK, count, runs) for dim in dims])
    mean, error = errors.mean(1), errors.std(1) / runs**0.5
    exact = _fit_error(_RANK, count)
    wrong = [_fit_error(dim, count) for dim in dims]
    labels = ("dimensions D of the data, 3 of the support", "squared error of the score", "d0 = 3")

    def draw(axes: Axes) -> None:
        axes.loglog(dims, wrong, ":", color=COLORS[1], label="if D counted")
        draw_estimates(axes, dims, mean, error, exact, labels)

    return Reading(
        float(mean.mean()),
        exact,
        4.5 * float(error.norm()) / len(dims) + 2 * _RANK / count * exact,
        "4.5 standard errors of the mean over D = 8 ... 128, and the next order d/n",
        draw,
    )


def _parametric_rate() -> Reading:
    counts, runs = (100, 200, 400, 800, 1600), 160
    errors = torch.stack([_fit_errors(_RANK, _RANK, count, runs) for count in counts])
    mean, error = errors.mean(1), errors.std(1) / runs**0.5
    steps = torch.tensor(counts, dtype=torch.float64).log()
    weights = (steps - steps.mean()) / (steps - steps.mean()).square().sum()
    return Reading(
        float(weights @ mean.log()),
        -1.0,
        4.5 * float((weights * error / mean).norm()) + _RANK / counts[0],
        "4.5 standard errors, and the next order d/n",
        lambda axes: draw_order(
            axes, counts, {"squared error of the score": (mean, -1)}, "samples n"
        ),
    )


def _plug_in() -> Reading:
    dims, count, runs = (1, 2, 4, 8), 100, 200
    divergences = torch.stack([_divergences(dim, count, runs) for dim in dims])
    mean, error = divergences.mean(1), divergences.std(1) / runs**0.5
    exact = [_plug_in_divergence(dim, count) for dim in dims]
    large = [dim * (dim + 3) / (4 * count) for dim in dims]

    def draw(axes: Axes) -> None:
        axes.plot(dims, large, ":", color=COLORS[1], label="d(d + 3) / 4n")
        draw_estimates(axes, dims, mean, error, exact, ("dimension d", "KL, n = 100", "exact"))

    return Reading(
        float(mean[-1]),
        exact[-1],
        4.5 * float(error[-1]),
        f"4.5 standard errors of {runs} fits",
        draw,
    )


def _fit_errors(dim: int, rank: int, count: int, runs: int) -> Tensor:
    """Return E|s_fit - s|^2 under the noisy data, for Gaussians fitted to images A z.

    Both scores are affine, so that the mean over points m +- S^(1/2) e sqrt(d) is exact.
    """
    generator = derive_generator(0, "fitted-score", dim, rank, count)
    sigma = torch.tensor(_SIGMA, dtype=torch.float64)
    basis = _basis(dim, rank, generator)
    offset = math.sqrt(rank * (1 + _SIGMA**2)) * basis.mT
    # the error lies in the support: only its directions count
    points = torch.cat([offset, -offset])
    found = []
    for _ in range(runs):
        z = torch.randn(count, rank, generator=generator, dtype=torch.float64)
        x = z @ basis.mT
        fitted = GaussianPrior(x.mean(0), torch.cov(x.mT, correction=0))
        exact = -points / (1 + _SIGMA**2)
        score = (fitted(points, sigma) - points) / sigma**2
        found.append((score - exact).square().sum(-1).mean())
    return torch.stack(found)


def _fit_error(rank: int, count: int) -> float:
    """Return the first order in 1/n of what ``_fit_errors`` finds."""
    total = 1 + _SIGMA**2
    return (rank / total**2 + rank * (rank + 1) / total**3) / count


def _divergences(dim: int, count: int, runs: int) -> Tensor:
    """Return KL(p, fit) for fits of N(0, 1): exact, as the log ratio is quadratic."""
    generator = derive_generator(0, "plug-in", dim, count)
    axis = math.sqrt(dim) * torch.eye(dim, dtype=torch.float64)
    points, truth = torch.cat([axis, -axis]), GaussianPrior(torch.zeros(dim).double(), 1.0)
    found = []
    for _ in range(runs):
        x = truth.sample(count, generator=generator)
        fitted = GaussianPrior(x.mean(0), torch.cov(x.mT, correction=0).reshape(dim, dim))
        found.append((truth.log_prob(points) - fitted.log_prob(points)).mean())
    return torch.stack(found)


def _plug_in_divergence(dim: int, count: int) -> float:
    """Return E KL by the moments of the inverse Wishart law, for every n > d + 2."""
    halves = torch.tensor([(count - i) / 2 for i in range(1, dim + 1)], dtype=torch.float64)
    log_det = float((torch.digamma(halves) + math.log(2 / count)).sum())
    return (dim * (count + 1) / (count - dim - 2) - dim + log_det) / 2


def _basis(dim: int, rank: int, generator: torch.Generator) -> Tensor:
    drawn = torch.randn(dim, rank, generator=generator, dtype=torch.float64)
    basis: Tensor = torch.linalg.qr(drawn).Q
    return basis


FACTS = (
    Fact(
        "intrinsic-dimension",
        "A Gaussian fitted to n samples that lie in d0 of D dimensions has a score whose error "
        "does not know D: the fit finds the subspace.",
        r"E |\hat s - s|^2 = \frac1n \Bigl(\frac{d_0}{(1 + \sigma^2)^2} + "
        r"\frac{d_0 (d_0 + 1)}{(1 + \sigma^2)^3}\Bigr) + O(n^{-2})",
        ("chen2023subspace",),
        _intrinsic_dimension,
    ),
    Fact(
        "parametric-rate",
        "With as many parameters as needed and no more, the squared error of a fitted score "
        "falls as one over the number of samples.",
        r"E |\hat s_n - s|^2 \propto n^{-1}",
        ("vandervaart1998",),
        _parametric_rate,
    ),
    Fact(
        "plug-in-divergence",
        "A Gaussian fitted to n samples is off by half a nat for every n parameters; "
        "d(d + 3)/2 of them are mean and covariance.",
        r"E\, KL(p, \hat p) = \tfrac12 \Bigl(\frac{d (n + 1)}{n - d - 2} - d + \sum_{i=1}^d "
        r"\bigl(\psi(\tfrac{n - i}{2}) + \log \tfrac2n\bigr)\Bigr) \approx \frac{d (d + 3)}{4 n}",
        ("vandervaart1998",),
        _plug_in,
    ),
)
