"""What velocity and score of a process are, and the equations that they solve."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.interpolants import noise_from_score, velocity_from_score
from invdiff.theory.chapter.drawing import draw_bars
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.flow_based_example import (
    START_MEAN,
    START_VARIANCE,
    draw_flow,
    line_grid,
    log_density,
    to_two_modes,
)
from invdiff.theory.chapter.identity import identity_reading
from invdiff.theory.chapter.laws import MEANS, ROUNDING, VARIANCES, WEIGHTS

__all__ = ["FACTS"]

_EPSILONS = (0.1, 0.5, 2.0)


def _conditional_mean() -> Reading:
    """Compare b with a mean over pairs of ends, summed on a grid."""
    (x, t), process = line_grid(), to_two_modes()
    x, t = x[::3], t[::3]
    x0, x1, noise = _mean_ends(x, t)
    gamma_dot = (1 - 2 * t) / (2 * (t * (1 - t)).sqrt())
    exact = x1 - x0 + gamma_dot * noise
    measured = process.velocity(x[:, None], t)[:, 0]
    return identity_reading(
        exact,
        measured,
        1e-09,
        ("mean of x'", "velocity b(x, t)"),
        "rounding of sums over 250000 pairs of ends",
    )


def _mean_ends(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the means of x0, x1 and z given x_t = x, by sums over a grid of ends."""
    grid = torch.linspace(-8, 8, 500, dtype=torch.float64)
    x0, x1 = grid[:, None], grid[None, :]
    parts = WEIGHTS.log() - (grid[:, None] - MEANS) ** 2 / (2 * VARIANCES) - VARIANCES.log() / 2
    prior = parts.logsumexp(1) - (x0 - START_MEAN) ** 2 / (2 * START_VARIANCE)
    means = []
    for point, time in zip(x, t, strict=True):
        z = (point - (1 - time) * x0 - time * x1) / (time * (1 - time)).sqrt()
        weight = (prior - z**2 / 2).flatten().softmax(0).reshape(z.shape)
        means.append(torch.stack([(weight * part).sum() for part in (x0, x1, z)]))
    x0_mean, x1_mean, z_mean = torch.stack(means).unbind(1)
    return x0_mean, x1_mean, z_mean


def _identity() -> Reading:
    """Convert the gradient of the log density into b and the noise."""
    (x, t), process = line_grid(), to_two_modes()
    leaf = x.clone().requires_grad_()
    (score,) = torch.autograd.grad(log_density(leaf, t).sum(), leaf)
    here = x[:, None]
    found = {
        "score s": (score[:, None], process.score(here, t)),
        "velocity b": (
            velocity_from_score(
                process.interpolant, process.path_velocity(here, t), score[:, None], t
            ),
            process.velocity(here, t),
        ),
        "noise eta": (
            noise_from_score(process.interpolant, score[:, None], t),
            process.noise(here, t),
        ),
    }
    errors = {name: float((a - b).abs().max()) for name, (a, b) in found.items()}
    return Reading(
        max(errors.values()),
        0.0,
        1e-11,
        ROUNDING,
        lambda axes: draw_bars(axes, list(errors), list(errors.values()), "largest error", 1e-11),
    )


def _transport() -> Reading:
    process = to_two_modes()
    return Reading(
        _residual(0.0),
        0.0,
        1e-11,
        ROUNDING,
        lambda axes: draw_flow(axes, process.velocity),
    )


def _fokker_planck() -> Reading:
    residuals = {
        f"{name}, epsilon {e}": _residual(sign * e)
        for e in _EPSILONS
        for name, sign in (("forward", 1.0), ("backward", -1.0))
    }
    shown = {**residuals, "score left out": _residual(0.5, drift_of=0.0)}
    return Reading(
        max(residuals.values()),
        0.0,
        1e-11,
        ROUNDING,
        lambda axes: draw_bars(axes, list(shown), list(shown.values()), "residual", 1e-11),
    )


def _residual(signed: float, drift_of: float | None = None) -> float:
    """Return the largest residual of the Fokker-Planck equation over the size of its terms.

    The drift is of the package, the density that of the formula; forwards the sign is positive.
    """
    process, (x, t) = to_two_modes(), line_grid()
    x.requires_grad_()
    t.requires_grad_()
    by_x, by_t = torch.autograd.grad(log_density(x, t).sum(), (x, t), create_graph=True)
    (twice,) = torch.autograd.grad(by_x.sum(), x, retain_graph=True)
    b, s = process.both(x[:, None], t)
    drift = (b + (signed if drift_of is None else drift_of) * s).squeeze(-1)
    (divergence,) = torch.autograd.grad(drift.sum(), x)
    terms = torch.stack([by_t, divergence, drift * by_x, -signed * twice, -signed * by_x**2])
    return float((terms.sum(0).abs() / terms.abs().sum(0)).max().detach())


FACTS = (
    Fact(
        "velocity-is-a-conditional-mean",
        "The velocity at a point is the mean time derivative of all paths that pass through it.",
        r"b(x, t) = E[\dot\alpha x_0 + \dot\beta x_1 + \dot\gamma z \mid x_t = x]",
        ("albergo2023",),
        _conditional_mean,
    ),
    Fact(
        "velocity-score-noise",
        "Score and mean noise differ by a factor, and the velocity is that of the paths of the "
        "ends minus a multiple of the score: one learned field gives the others.",
        r"s = -\eta / \gamma, \qquad b = v - \gamma \dot\gamma\, s",
        ("albergo2023",),
        _identity,
    ),
    Fact(
        "transport-equation",
        "The velocity carries the density of the process from one end to the other.",
        r"\partial_t \rho + \nabla \cdot (b \rho) = 0",
        ("albergo2023",),
        _transport,
    ),
    Fact(
        "fokker-planck-any-epsilon",
        "Noise of any amount leaves the density as it is if the drift gets that multiple of the "
        "score, added forwards in time and taken away backwards.",
        r"\partial_t \rho + \nabla \cdot ((b \pm \epsilon s) \rho) = \pm \epsilon \Delta \rho",
        ("albergo2023",),
        _fokker_planck,
    ),
)
