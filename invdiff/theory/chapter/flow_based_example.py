r"""The process on which the flow-based view is checked, and its law written out by hand.

On the line, :math:`x_t = (1 - t) x_0 + t x_1 + \sqrt{t (1 - t)}\, z` from one Gaussian to two.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.interpolants import Field, MixtureProcess, TwoSided, integrate_ode, time_grid
from invdiff.theory.chapter.drawing import COLORS
from invdiff.theory.chapter.laws import MEANS, VARIANCES, WEIGHTS, gaussian, two_modes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["START_MEAN", "START_VARIANCE", "draw_flow", "line_grid", "log_density",
           "shifted_gaussian", "to_two_modes"]  # fmt: skip

START_MEAN, START_VARIANCE = -0.3, 0.8


def shifted_gaussian() -> MixtureProcess:
    """Return the process from N(0, 1) to N(1, 1/2) on the line, with a Brownian bridge."""
    return MixtureProcess(TwoSided(), gaussian(1.0, 0.5), gaussian(0.0, 1.0))


def to_two_modes() -> MixtureProcess:
    """Return the process of the package between both laws."""
    return MixtureProcess(TwoSided(), two_modes(), gaussian(START_MEAN, START_VARIANCE))


def log_density(x: Tensor, t: Tensor) -> Tensor:
    r"""Return :math:`\log \rho(x, t)` from its formula, for x and t of one shape.

    .. math:: \rho_t = \sum_k w_k N\bigl((1 - t) m_0 + t m_k,\;
        (1 - t)^2 v_0 + t^2 v_k + t (1 - t)\bigr)
    """
    x, t = x.unsqueeze(-1), t.unsqueeze(-1)
    mean = (1 - t) * START_MEAN + t * MEANS
    variance = (1 - t) ** 2 * START_VARIANCE + t**2 * VARIANCES + t * (1 - t)
    parts = (x - mean) ** 2 / variance + variance.log() + math.log(2 * math.pi)
    return (WEIGHTS.log() - parts / 2).logsumexp(-1)


def line_grid() -> tuple[Tensor, Tensor]:
    """Return points and times that cover the process, each ``(points,)``."""
    points = torch.linspace(-3.2, 2.8, 25, dtype=torch.float64)
    times = torch.linspace(0.05, 0.95, 13, dtype=torch.float64)
    t, x = torch.meshgrid(times, points, indexing="ij")
    return x.reshape(-1), t.reshape(-1)


def draw_flow(axes: Axes, velocity: Field) -> None:
    """Draw the density over time and place, and what the velocity carries through it."""
    times = time_grid(60, 0.0, 1.0)
    points = torch.linspace(-3.2, 2.8, 120, dtype=torch.float64)
    t, x = torch.meshgrid(times, points, indexing="ij")
    density = log_density(x.reshape(-1), t.reshape(-1)).exp().reshape(x.shape)
    axes.pcolormesh(
        times.numpy(), points.numpy(), density.mT.numpy(), cmap="Blues", rasterized=True
    )
    start = torch.linspace(-2.2, 1.6, 11, dtype=torch.float64)[:, None]
    paths = [start]
    integrate_ode(velocity, start, times, callback=lambda i, end, x: paths.append(x))
    axes.plot(times.numpy(), torch.cat(paths, 1).mT.numpy(), color=COLORS[0], linewidth=0.9)
    axes.set(xlabel="t", ylabel="x", title="density, and paths of dx/dt = b(x, t)")
    axes.title.set_fontsize(8)
