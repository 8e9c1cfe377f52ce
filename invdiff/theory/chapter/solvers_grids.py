"""Grids of noise levels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from invdiff.samplers import karras_sigmas
from invdiff.superres.integrators import Heun
from invdiff.theory.chapter.drawing import COLORS, draw_bars
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import ROUNDING, two_modes
from invdiff.theory.chapter.quadrature import exact_flow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]


def _karras() -> Reading:
    sigmas = karras_sigmas(18, 80.0, 0.002).numpy()
    exact = np.linspace(80.0 ** (1 / 7), 0.002 ** (1 / 7), 18) ** 7
    return Reading(
        float(np.abs(sigmas / exact - 1).max()),
        0.0,
        1e-12,
        ROUNDING,
        lambda axes: _draw_grid(axes, sigmas),
    )


def _draw_grid(axes: Axes, sigmas: np.ndarray) -> None:
    axes.semilogy(sigmas, "o", color=COLORS[0], markersize=4, label="rho = 7")
    for rho, color in ((1.0, COLORS[1]), (1e3, COLORS[2])):
        other = karras_sigmas(18, 80.0, 0.002, rho).numpy()
        name = "equal steps in sigma" if rho == 1 else "in log sigma"
        axes.semilogy(other, ".-", color=color, linewidth=1, label=name)
    axes.set(xlabel="step", ylabel="sigma")
    axes.legend(frameon=False, fontsize=7)


def _grid_error() -> Reading:
    prior, high, low = two_modes(), 80.0, 0.002
    x = 80 * torch.linspace(-2, 2, 40, dtype=torch.float64).unsqueeze(1)
    exact = exact_flow(prior, x, high, low)
    rhos = {"sigma^(1/7)": 7.0, "sigma^(1/2)": 2.0, "sigma": 1.0}
    errors = [
        _rms(Heun()(prior, x, karras_sigmas(18, high, low, r)) - exact) for r in rhos.values()
    ]
    return Reading(
        errors[2] / errors[0],
        20.0,
        0.0,
        "twenty times is a clear advantage",
        lambda axes: draw_bars(axes, list(rhos), errors, "error of Heun's method, 17 steps"),
        ">=",
    )


def _rms(values: Tensor) -> float:
    return float(values.square().mean().sqrt())


FACTS = (
    Fact(
        "karras-grid",
        "The grid of Karras et al. has equal steps in the seventh root of sigma: between equal "
        "steps in sigma and in its logarithm.",
        r"\sigma_i = \bigl(\sigma_{max}^{1/7} + \tfrac{i}{N - 1} (\sigma_{min}^{1/7} "
        r"- \sigma_{max}^{1/7})\bigr)^7",
        ("karras2022",),
        _karras,
    ),
    Fact(
        "karras-grid-error",
        "With as many calls, that grid has a much smaller error than equal steps in sigma, which "
        "spends nearly all of them where nothing happens.",
        r"\|e_{\rho = 1}\| \ge 20\, \|e_{\rho = 7}\|",
        ("karras2022",),
        _grid_error,
    ),
)
