"""What velocity and score of a process are, and the equations that they solve."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.interpolants import (
    Field,
    GaussianSchroedingerBridge,
    noise_from_score,
    velocity_from_score,
)
from invdiff.theory.chapter.drawing import draw_bars, draw_diagonal
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.flow_based_example import (
    MEANS,
    START_MEAN,
    START_VARIANCE,
    VARIANCES,
    WEIGHTS,
    draw_flow,
    line_grid,
    log_density,
    to_two_modes,
)

__all__ = ["FACTS"]

_ROUNDING = "rounding in double precision"
_EPSILONS = (0.1, 0.5, 2.0)


def _conditional_mean() -> Reading:
    """Compare b with a mean over pairs of ends, summed on a grid."""
    (x, t), process = line_grid(), to_two_modes()
    x0, x1, noise = _mean_ends(x, t)
    gamma_dot = (1 - 2 * t) / (2 * (t * (1 - t)).sqrt())
    exact = x1 - x0 + gamma_dot * noise
    measured = process.velocity(x[:, None], t)[:, 0]
    return Reading(
        float((measured - exact).abs().max()),
        0.0,
        1e-9,
        "rounding of sums over 250000 pairs of ends",
        lambda axes: draw_diagonal(axes, exact, measured, "mean of x'", "velocity b(x, t)"),
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
        _ROUNDING,
        lambda axes: draw_bars(axes, list(errors), list(errors.values()), "largest error", 1e-11),
    )


def _transport() -> Reading:
    process = to_two_modes()
    return Reading(
        _residual(0.0),
        0.0,
        1e-11,
        _ROUNDING,
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
        _ROUNDING,
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


def _bridge_drift() -> Reading:
    """Check Hamilton's equation for the drift of a Schroedinger bridge in the plane."""
    bridge, x = _bridge(), torch.linspace(-2, 2, 24, dtype=torch.float64).reshape(-1, 2)
    times = (0.1, 0.4, 0.7, 0.9)
    own = [_acceleration(bridge.drift, x, t, bridge) for t in times]
    flow = [_acceleration(bridge.velocity, x, t, bridge) for t in times]
    return Reading(
        max(own),
        0.0,
        1e-10,
        _ROUNDING,
        lambda axes: draw_bars(
            axes,
            [*(f"bridge, t = {t}" for t in times), *(f"its ODE, t = {t}" for t in times)],
            own + flow,
            "acceleration left over",
            1e-10,
        ),
    )


def _bridge() -> GaussianSchroedingerBridge:
    first = torch.tensor([[1.0, 0.3], [0.3, 0.5]], dtype=torch.float64)
    last = torch.tensor([[0.4, -0.2], [-0.2, 0.9]], dtype=torch.float64)
    mean = torch.tensor([1.0, -0.5], dtype=torch.float64)
    return GaussianSchroedingerBridge(0 * mean, first, mean, last, 0.7)


def _acceleration(drift: Field, x: Tensor, time: float, bridge: GaussianSchroedingerBridge) -> float:
    r"""Return the largest of :math:`\partial_t u + (u \cdot \nabla) u + \epsilon \Delta u`."""
    x = x.clone().requires_grad_()
    t = torch.full((len(x),), time, dtype=torch.float64, requires_grad=True)
    u, left = drift(x, t), []
    for part in u.unbind(1):
        by_x, by_t = torch.autograd.grad(part.sum(), (x, t), create_graph=True)
        second = [
            # nothing of x is left in the slope of a linear field
            torch.autograd.grad(
                by_x[:, i].sum(), x, retain_graph=True, allow_unused=True, materialize_grads=True
            )[0][:, i]
            for i in range(2)
        ]
        left.append(by_t + (by_x * u).sum(1) + bridge.variance / 2 * torch.stack(second).sum(0))
    return float(torch.stack(left).detach().abs().max())


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
    Fact(
        "schroedinger-bridge-is-optimal",
        "The drift of a Schroedinger bridge solves Hamilton's equation, so that along its paths the "
        "drift stays the same on average. That of its own ODE does not.",
        r"\partial_t u + (u \cdot \nabla) u + \epsilon \Delta u = 0, \qquad u = b + \epsilon s",
        ("bunne2023",),
        _bridge_drift,
    ),
)
