"""The Schroedinger bridge of two Gaussians: its ends, its way and its energy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.interpolants.schroedinger_gaussian import GaussianSchroedingerBridge
from invdiff.theory.chapter.drawing import COLORS, GREY, draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.flow_maps_laws import MEAN, NARROW, SPREAD, START, bridge
from invdiff.theory.chapter.laws import ROUNDING, points, tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]


def _system() -> Reading:
    variances = [0.05, 0.2, 0.8, 3.2]
    found = []
    for variance in variances:
        cross = bridge(variance).coupling.cross
        joint = torch.cat([torch.cat([NARROW, cross], 1), torch.cat([cross.T, SPREAD], 1)])
        found.append(variance * torch.linalg.inv(joint)[:2, 2:])
    errors = [float((block + torch.eye(2).to(block)).abs().max()) for block in found]

    def draw(axes: Axes) -> None:
        levels = torch.logspace(-2, 1.5, 30, dtype=torch.float64)
        shares = [float(bridge(float(v)).coupling.cross.trace()) for v in levels]
        curves = {"trace of Cov(x0, x1)": tensor(shares)}
        draw_curves(axes, levels, None, curves, "variance of the noise", "tie of the ends")
        axes.set(xscale="log")

    return Reading(max(errors), 0.0, 1e-9, ROUNDING, draw)


def _moments() -> Reading:
    """Follow mean and covariance under the bridge's drift by a Runge-Kutta rule."""
    process, steps = bridge(0.6), 40
    t, h = tensor(0.0), 1 / steps
    state, spreads, exact = torch.cat([START.unsqueeze(0), NARROW]), [NARROW], [NARROW]
    for _ in range(steps):
        a = _rates(process, state, t)
        b = _rates(process, state + h / 2 * a, t + h / 2)
        c = _rates(process, state + h / 2 * b, t + h / 2)
        d = _rates(process, state + h * c, t + h)
        state, t = state + h / 6 * (a + 2 * b + 2 * c + d), t + h
        spreads.append(state[1:])
        exact.append(process.marginal(t)[1])
    end = torch.cat([MEAN.unsqueeze(0), SPREAD])
    followed, known = (torch.stack(v).diagonal(dim1=1, dim2=2) for v in (spreads, exact))
    errors = torch.stack([(state - end).abs().max(), (followed - known).abs().max()])
    times = points(0, 1, steps + 1)

    def draw(axes: Axes) -> None:
        axes.plot(times, known, color=GREY, linewidth=4, alpha=0.45)
        for axis in range(2):
            axes.plot(times, followed[:, axis], color=COLORS[axis], label=f"x_{axis + 1}")
        axes.set(xlabel="time", ylabel="variance under the drift")
        axes.legend(frameon=False, fontsize=7)

    return Reading(float(errors.max()), 0.0, 1e-6, "40 Runge-Kutta steps, of fourth order", draw)


def _rates(process: GaussianSchroedingerBridge, state: Tensor, t: Tensor) -> Tensor:
    mean, covariance = state[0], state[1:]
    eye = torch.eye(2, dtype=torch.float64)
    # an affine drift is known from three points
    drifts = process.drift(torch.cat([mean.unsqueeze(0), mean + eye]), t)
    slope = (drifts[1:] - drifts[0]).T
    grown = slope @ covariance + covariance @ slope.T + process.variance * eye
    return torch.cat([drifts[:1], grown])


def _energy() -> Reading:
    """Compare the least energy with those of bridges between other pairs of ends."""
    variances = points(0.1, 2.0, 5)
    measured = tensor([bridge(float(v)).energy() for v in variances])
    exact = tensor([_static_energy(float(v)) for v in variances])
    worst = int((measured - exact).abs().argmax())
    independent = tensor([_static_energy(float(v), tied=False) for v in variances])
    curves = {"drift of the bridge": measured, "independent ends": independent}
    return Reading(
        float(measured[worst]), float(exact[worst]), 1e-6, "64 Gauss-Legendre nodes in time",
        lambda axes: draw_curves(
            axes, variances, exact, curves, "variance of the Brownian motion", "energy"
        ),
    )  # fmt: skip


def _static_energy(variance: float, *, tied: bool = True) -> float:
    r"""Return sigma^2 KL(ends | ends of the Brownian motion), which the paths add nothing to."""
    eye = torch.eye(2, dtype=torch.float64)
    cross = bridge(variance).coupling.cross if tied else torch.zeros_like(eye)
    joint = torch.cat([torch.cat([NARROW, cross], 1), torch.cat([cross.T, SPREAD], 1)])
    shift = (MEAN - START).square().sum() + (NARROW + SPREAD - 2 * cross).trace()
    # log det of the Brownian pair less that of the pair; both start in the same law
    log_ratio = 2 * tensor(variance).log() + torch.logdet(NARROW) - torch.logdet(joint)
    return float(variance * (shift / variance - 2 + log_ratio) / 2)


FACTS = (
    Fact(
        "schroedinger-system",
        "The ends of the bridge know of each other as those of a Brownian motion do: the joint "
        "density is the Brownian one times a function of each end alone.",
        r"(\Sigma^{-1})_{01} = -I / \sigma^2",
        ("bunne2023",),
        _system,
    ),
    Fact(
        "schroedinger-marginals",
        "Under the drift of the bridge and its noise, mean and covariance follow the closed form "
        "and arrive at the given end.",
        r"\dot C = A C + C A^T + \sigma^2, \quad A = \nabla (b + \tfrac{\sigma^2}2 s)",
        ("bunne2023",),
        _moments,
    ),
    Fact(
        "schroedinger-energy",
        "The energy of the drift is the relative entropy of its ends to those of a Brownian "
        "motion: the bridge costs what its ends cost, and independent ends cost more.",
        r"\tfrac12 \int_0^1 E |u|^2 dt = \sigma^2\, "
        r"KL(\pi \,\|\, N(m_0, S_0) \otimes N(x_0, \sigma^2))",
        ("bunne2023", "leonard2014"),
        _energy,
    ),
)
