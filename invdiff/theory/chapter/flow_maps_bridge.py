"""The Schroedinger bridge of two Gaussians: optimal transport with noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.interpolants.schroedinger_gaussian import (
    GaussianSchroedingerBridge,
    bures_distance,
)
from invdiff.theory.chapter.drawing import COLORS, draw_curves, draw_order
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.flow_maps_laws import MEAN, SPREAD
from invdiff.theory.chapter.score_based_laws import ROUNDING, points, tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

# they don't commute with MEAN, SPREAD
_START, _NARROW = tensor([-1.0, 0.5]), tensor([[0.6, -0.3], [-0.3, 0.9]])


def _bridge(variance: float) -> GaussianSchroedingerBridge:
    return GaussianSchroedingerBridge(_START, _NARROW, MEAN, SPREAD, variance)


def _system() -> Reading:
    variances = [0.05, 0.2, 0.8, 3.2]
    found = []
    for variance in variances:
        cross = _bridge(variance).coupling.cross
        joint = torch.cat([torch.cat([_NARROW, cross], 1), torch.cat([cross.T, SPREAD], 1)])
        found.append(variance * torch.linalg.inv(joint)[:2, 2:])
    errors = [float((block + torch.eye(2).to(block)).abs().max()) for block in found]

    def draw(axes: Axes) -> None:
        levels = torch.logspace(-2, 1.5, 30, dtype=torch.float64)
        shares = [float(_bridge(float(v)).coupling.cross.trace()) for v in levels]
        curves = {"trace of Cov(x0, x1)": tensor(shares)}
        draw_curves(axes, levels, None, curves, "variance of the Brownian motion", "tie of the ends")
        axes.set(xscale="log")

    return Reading(max(errors), 0.0, 1e-9, ROUNDING, draw)


def _moments() -> Reading:
    """Follow mean and covariance under the bridge's drift by a Runge-Kutta rule."""
    bridge, steps = _bridge(0.6), 100
    t, h = tensor(0.0), 1 / steps
    state, spreads, exact = torch.cat([_START.unsqueeze(0), _NARROW]), [_NARROW], [_NARROW]
    for _ in range(steps):
        a = _rates(bridge, state, t)
        b = _rates(bridge, state + h / 2 * a, t + h / 2)
        c = _rates(bridge, state + h / 2 * b, t + h / 2)
        d = _rates(bridge, state + h * c, t + h)
        state, t = state + h / 6 * (a + 2 * b + 2 * c + d), t + h
        spreads.append(state[1:])
        exact.append(bridge.marginal(t)[1])
    end = torch.cat([MEAN.unsqueeze(0), SPREAD])
    followed, known = (torch.stack(v).diagonal(dim1=1, dim2=2) for v in (spreads, exact))
    errors = torch.stack([(state - end).abs().max(), (followed - known).abs().max()])
    return Reading(
        float(errors.max()), 0.0, 1e-6, "100 Runge-Kutta steps, of fourth order",
        lambda axes: draw_curves(
            axes, points(0, 1, steps + 1), known[:, 0],
            {"variance of x_1": followed[:, 0], "variance of x_2": followed[:, 1]},
            "time", "under the drift of the bridge",
        ),
    )  # fmt: skip


def _rates(bridge: GaussianSchroedingerBridge, state: Tensor, t: Tensor) -> Tensor:
    mean, covariance = state[0], state[1:]
    eye = torch.eye(2, dtype=torch.float64)
    at_zero = bridge.drift(torch.zeros(1, 2).double(), t)
    slope = (bridge.drift(eye, t) - at_zero).T
    grown = slope @ covariance + covariance @ slope.T + bridge.variance * eye
    return torch.cat([bridge.drift(mean.unsqueeze(0), t), grown])


def _without_noise() -> Reading:
    variances = [1.0, 0.3, 0.1, 0.03, 0.01, 0.003]
    square = float((MEAN - _START).square().sum()) + _square_distance()
    excess = [_cost(variance) - square for variance in variances]
    # linear in the noise: two costs extrapolate to none
    limit = (10 * _cost(1e-4) - _cost(1e-3)) / 9

    def draw(axes: Axes) -> None:
        draw_order(axes, variances, {"E|x1 - x0|^2 - W2^2": (excess, 1.0)}, "variance of the noise")
        axes.set(ylabel="cost above the optimal one")

    return Reading(limit, square, 1e-5, "the square of a noise of variance 1e-3", draw)


def _cost(variance: float) -> float:
    """Return E |x1 - x0|^2 of the ends of the bridge."""
    cross = _bridge(variance).coupling.cross
    return float((MEAN - _START).square().sum() + (_NARROW + SPREAD - 2 * cross).trace())


def _square_distance() -> float:
    # the roots of the eigenvalues of a product, which needs no root of a matrix
    fidelity = torch.linalg.eigvals(_NARROW @ SPREAD).real.sqrt().sum()
    return float(_NARROW.trace() + SPREAD.trace() - 2 * fidelity)


def _distance() -> Reading:
    measured, exact = bures_distance(_NARROW, SPREAD), _square_distance() ** 0.5

    def draw(axes: Axes) -> None:
        angle = points(0, 6.2832, 200)
        circle = torch.stack([angle.cos(), angle.sin()])
        for number, t in enumerate(tensor([0.0, 0.5, 1.0])):
            mean, covariance = _bridge(1e-4).marginal(t)
            x = mean.unsqueeze(1) + torch.linalg.cholesky(covariance) @ circle
            axes.plot(x[0], x[1], color=COLORS[number], label=f"t = {float(t):g}")
        axes.set(xlabel="x_1", ylabel="x_2")
        axes.legend(frameon=False, fontsize=7)

    return Reading(measured, exact, 1e-12, ROUNDING, draw)


def _energy() -> Reading:
    """Compare the least energy with those of bridges between other pairs of ends."""
    variances = points(0.1, 2.0, 12)
    measured = tensor([_bridge(float(v)).energy() for v in variances])
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
    cross = _bridge(variance).coupling.cross if tied else torch.zeros_like(eye)
    joint = torch.cat([torch.cat([_NARROW, cross], 1), torch.cat([cross.T, SPREAD], 1)])
    shift = (MEAN - _START).square().sum() + (_NARROW + SPREAD - 2 * cross).trace()
    # log det of the Brownian pair less that of the pair; both start in the same law
    log_ratio = 2 * tensor(variance).log() + torch.logdet(_NARROW) - torch.logdet(joint)
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
    Fact(
        "schroedinger-without-noise",
        "As its noise goes to 0 the bridge becomes optimal transport: the cost of its ends "
        "tends to the squared Wasserstein distance.",
        r"E |x_1 - x_0|^2 = W_2^2 + O(\sigma^2)",
        ("bunne2023", "leonard2014"),
        _without_noise,
    ),
    Fact(
        "bures-distance",
        "Between Gaussians the Wasserstein distance is known: of the covariances only the "
        "eigenvalues of their product are needed.",
        r"W_2^2 = \mathrm{tr}(S_0 + S_1) - 2 \sum_i \sqrt{\lambda_i(S_0 S_1)}",
        ("bunne2023",),
        _distance,
    ),
)
