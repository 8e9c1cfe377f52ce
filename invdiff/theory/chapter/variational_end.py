"""What a chain forgets at its noisy end."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.interpolants import kl_on_grid
from invdiff.theory.chapter.drawing import draw_order
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import ROUNDING, gaussian, line, tensor
from invdiff.theory.chapter.quadrature import log_normal

__all__ = ["FACTS"]

_VARIANCE = 0.36


def _end_of_the_prior() -> Reading:
    levels = torch.logspace(0, 2, 9, dtype=torch.float64)
    means = {"mean 1": 1.0, "mean 0": 0.0}
    measured = {
        name: [_end_divergence(mean, sigma) for sigma in levels] for name, mean in means.items()
    }
    ratio = _VARIANCE / levels[4] ** 2
    exact = (ratio + 1 / levels[4] ** 2 - ratio.log1p()) / 2
    slopes = {"mean 1": -2, "mean 0": -4}
    lines = {name: (values, slopes[name]) for name, values in measured.items()}
    return Reading(
        measured["mean 1"][4], float(exact), 1e-9, ROUNDING,
        lambda axes: draw_order(axes, levels, lines, "sigma at the start", "divergence in nats"),
    )  # fmt: skip


def _end_divergence(mean: float, sigma: Tensor) -> float:
    prior, points = gaussian(mean, _VARIANCE), line(-12, 12, 4001) * (1 + sigma)
    start = log_normal(points, tensor(0.0), sigma**2).squeeze(1)
    return kl_on_grid(prior.log_prob(points, sigma), start, points.squeeze(1))


FACTS = (
    Fact(
        "end-of-the-prior",
        "Starting from pure noise forgets the data's mean and spread. For data of a mean m the "
        "error falls with the square of the noise level, for centred data with its fourth power.",
        r"KL\bigl(p_\sigma \| N(0, \sigma^2)\bigr) = \tfrac12 \Bigl(\frac{m^2 + s^2}{\sigma^2} - "
        r"\ln\Bigl(1 + \frac{s^2}{\sigma^2}\Bigr)\Bigr)",
        ("song2021likelihood",),
        _end_of_the_prior,
    ),
)
