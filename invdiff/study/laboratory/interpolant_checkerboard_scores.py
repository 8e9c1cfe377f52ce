"""How far the law of a learned process is from the checkerboard."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from invdiff.interpolants.diffusion import Epsilon
from invdiff.interpolants.process import Process
from invdiff.study.laboratory.interpolant_checkerboard_law import Checkerboard, CheckerboardProcess
from invdiff.study.scripted import Arrays, Metrics

__all__ = [
    "MatchedEpsilon",
    "binned_divergence",
    "divergence_bound",
    "likelihood_metrics",
    "sample_scores",
    "velocity_errors",
]


@dataclass(frozen=True)
class MatchedEpsilon:
    r"""The diffusion :math:`\epsilon = c (1 - t) / t`, kept below a limit near t = 0.

    Where the score comes from a learned velocity of the linear one-sided interpolant, an error
    :math:`\delta b` is one of :math:`(1 + \epsilon t / (1 - t))\, \delta b` in the drift, and c = 1
    makes the bound of the KL divergence smallest at each time, see ``divergence_bound``.

    Args:
        scale: c.
        limit: Of epsilon; a step h is stable where h epsilon < 1.
    """

    scale: float
    limit: float = 5.0

    def __call__(self, t: Tensor) -> Tensor:
        """Return epsilon(t)."""
        return (self.scale * (1 - t) / t).clamp(max=self.limit)


def binned_divergence(law: Checkerboard, x: Tensor, bins: int) -> tuple[float, float]:
    r"""Return an estimate of KL(law | law of x) on a grid, and its standard error.

    With B bins of equal probability on the support and n_i of the n points in them,

    .. math:: \psi(n + 1) - \frac1B \sum_i \psi(n_i + 1) - \ln B

    A Poisson count N of mean m has :math:`E\,\psi(N + 1) = \ln m + E_1(m)`: the digamma function
    takes the bias of the logarithms away wherever bins hold more than a few points. Binning can
    only lower a divergence, here by what happens inside of a bin.

    Args:
        law: The truth.
        x: ``(count, 2)``.
        bins: Along each axis of a square.
    """
    on = x[law.contains(x)]
    rows = law.columns * bins
    cell = ((on + law.half_width) * (bins / law.side)).long().clamp(max=rows - 1)
    counts = torch.bincount(cell[:, 0] * rows + cell[:, 1], minlength=rows**2).reshape(rows, rows)
    square = torch.arange(rows) // bins
    inside = counts[(square[:, None] + square) % 2 == 0].double()
    total = torch.tensor(float(len(x)), dtype=torch.float64)
    divergence = (total + 1).digamma() - (inside + 1).digamma().mean() - math.log(len(inside))
    # multinomial counts: those of a uniform law cancel to first order, which leaves the second
    each = (inside + 1).reciprocal()
    first = each.sum() / len(inside) ** 2 - 1 / total
    second = (each**2 / 2).sum() / len(inside) ** 2
    return float(divergence), float((first.clamp(min=0) + second).sqrt())


def sample_scores(law: Checkerboard, x: Tensor, bins: int, smoothing: float) -> Metrics:
    """Return what is known of samples; names have a place for theirs.

    Args:
        law: The truth.
        x: ``(count, 2)``.
        bins: Of the divergence, along each axis of a square.
        smoothing: Standard deviation of the noise that makes the true log density finite.
    """
    divergence, error = binned_divergence(law, x.cpu(), bins)
    log_density = law.smoothed_log_prob(x, smoothing)
    return {
        "kl_{}": divergence,
        "kl_{}_error": error,
        "off_{}": float((~law.contains(x)).double().mean()),
        "log_density_{}": float(log_density.mean()),
    }


def likelihood_metrics(law: Checkerboard, found: Arrays, smoothing: float) -> Metrics:
    """Return the likelihood of true points, what it can be, and the mass of the picture.

    Args:
        law: The truth.
        found: With "log_prob" of points, and "log_density" on the square of "density_axis".
        smoothing: See ``sample_scores``.
    """
    values = found["log_prob"]
    step = float(found["density_axis"][1] - found["density_axis"][0])
    return {
        "nll": -float(values.mean()),
        "nll_error": float(values.std(ddof=1)) / len(values) ** 0.5,
        "entropy": law.entropy,
        "mass": float(np.exp(found["log_density"]).sum()) * step**2,
        "log_density_exact": law.mean_smoothed_log_prob(smoothing),
    }


def velocity_errors(
    process: Process,
    exact: CheckerboardProcess,
    times: Tensor,
    count: int,
    *,
    generator: torch.Generator,
) -> Tensor:
    """Return the mean square error of the velocity under the true law, one for each time."""
    errors = []
    for t in times:
        x = exact.draw(t, count, generator)
        with torch.no_grad():
            off = process.velocity(x, t) - exact.velocity(x, t)
        errors.append((off**2).sum(-1).mean())
    return torch.stack(errors).double().cpu()


def divergence_bound(errors: Tensor, times: Tensor, epsilon: Epsilon) -> float:
    r"""Return the bound of KL(law | law of the SDE) for a learned velocity.

    .. math:: \int \frac{1}{4 \epsilon} \Bigl(1 + \frac{\epsilon t}{1 - t}\Bigr)^2
        E |\hat b - b|^2 dt

    Girsanov's theorem for the SDE of :cite:t:`albergo2023`, whose score is found from the velocity;
    for exact integration. The midpoint rule leaves out what happens in the last half interval
    before t = 1, where the integral need not converge.

    Args:
        errors: The mean square of each time.
        times: Midpoints of equal intervals of [0, 1].
        epsilon: The amount of noise.
    """
    amount, ratio = epsilon(times), times / (1 - times)
    return float((errors * (1 + amount * ratio) ** 2 / (4 * amount)).mean())
