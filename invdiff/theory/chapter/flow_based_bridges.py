"""Schroedinger bridges: the process between two laws that is closest to a Brownian motion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.interpolants import (
    Field,
    GaussianSchroedingerBridge,
)
from invdiff.theory.chapter.drawing import COLORS, draw_bars
from invdiff.theory.chapter.fact import Fact, Reading

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_ROUNDING = "rounding in double precision"


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


def _bridge(variance: float = 0.7) -> GaussianSchroedingerBridge:
    first = torch.tensor([[1.0, 0.3], [0.3, 0.5]], dtype=torch.float64)
    last = torch.tensor([[0.4, -0.2], [-0.2, 0.9]], dtype=torch.float64)
    mean = torch.tensor([1.0, -0.5], dtype=torch.float64)
    return GaussianSchroedingerBridge(0 * mean, first, mean, last, variance)


def _acceleration(
    drift: Field, x: Tensor, time: float, bridge: GaussianSchroedingerBridge
) -> float:
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


def _energy() -> Reading:
    """Compare the energy of a bridge with hardly any noise with the distance of its ends."""
    bridge = _bridge(1e-6)
    first, last = bridge.coupling.covariance0, bridge.coupling.covariance1
    # of the product, whose eigenvalues are those of S0^(1/2) S1 S0^(1/2)
    shared = torch.linalg.eigvals(first @ last).real.sqrt().sum()
    moved = ((bridge.coupling.mean1 - bridge.coupling.mean0) ** 2).sum()
    exact = float((moved + torch.trace(first + last) - 2 * shared).sqrt())
    return Reading(
        (2 * bridge.energy()) ** 0.5,
        exact,
        1e-4,
        "noise of variance 1e-6 and quadrature",
        lambda axes: _draw_energy(axes, exact),
    )


def _draw_energy(axes: Axes, exact: float) -> None:
    variances = [10.0 ** (k / 4) for k in range(-12, 3)]
    found = [(2 * _bridge(v).energy()) ** 0.5 for v in variances]
    axes.semilogx(variances, found, color=COLORS[0], label="bridge")
    axes.axhline(exact, color=COLORS[1], linestyle="--", label="optimal transport")
    axes.set(xlabel="variance of the Brownian motion", ylabel="root of twice the energy")
    axes.legend(frameon=False, fontsize=7)


FACTS = (
    Fact(
        "schroedinger-bridge-is-optimal",
        "The drift of a Schroedinger bridge solves Hamilton's equation, so that along its paths it "
        "stays the same on average. That of its own ODE does not.",
        r"\partial_t u + (u \cdot \nabla) u + \epsilon \Delta u = 0, \qquad u = b + \epsilon s",
        ("bunne2023",),
        _bridge_drift,
    ),
    Fact(
        "bridge-energy-tends-to-transport",
        "With less and less noise, the energy of a Schroedinger bridge falls to half of the "
        "squared Wasserstein distance of its ends.",
        r"\lim_{\sigma \to 0} \int_0^1 E |u|^2 dt = W_2^2 = |m_1 - m_0|^2 + \operatorname{tr}"
        r"\bigl(S_0 + S_1 - 2 (S_0^{1/2} S_1 S_0^{1/2})^{1/2}\bigr)",
        ("bunne2023",),
        _energy,
    ),
)
