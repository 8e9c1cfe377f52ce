"""The variance that a reverse step has to have."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.interpolants import bridge_kernel
from invdiff.theory.chapter.drawing import draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import MEANS, VARIANCES, WEIGHTS, line, two_modes
from invdiff.theory.chapter.quadrature import log_normal
from invdiff.theory.chapter.variational_diffusion import DIFFUSION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

__all__ = ["FACTS"]


def _optimal_reverse_variance() -> Reading:
    levels = torch.logspace(1.5, -1, 14, dtype=torch.float64)
    times = (1 / levels).atan() * 2 / math.pi
    steps = range(len(times) - 1)
    measured = [_analytic_variance(times[k], times[k + 1]) for k in steps]
    exact = [_mean_reverse_variance(times[k], times[k + 1]) for k in steps]
    small = bridge_kernel(DIFFUSION, times[:-1], times[1:]).std ** 2
    signal = (math.pi / 2 * times).sin()
    large = 1 - (signal[:-1] / signal[1:]) ** 2
    error = max(abs(a - b) for a, b in zip(measured, exact, strict=True))

    def draw(axes: Axes) -> None:
        curves: dict[str, ArrayLike] = {
            "from the score": measured, "beta": large, "beta tilde": small,
        }  # fmt: skip
        draw_curves(axes, levels[:-1], exact, curves, "sigma", "variance of a step back")
        axes.set(xscale="log", yscale="log")

    return Reading(error, 0.0, 1e-9, "rounding, the exact one by quadrature", draw)


def _analytic_variance(t: Tensor, end: Tensor) -> float:
    """Return the optimal variance, from the package's kernel and the norm of its score."""
    prior, kernel, c = two_modes(), bridge_kernel(DIFFUSION, t, end), DIFFUSION.at(t)
    clean = line(-12, 12, 6001) if c.gamma < c.beta else line(-12, 12, 3001) * c.gamma / c.beta
    sigma = c.gamma / c.beta
    density = prior.log_prob(clean, sigma).exp()
    score = (prior(clean, sigma) - clean).squeeze(1) / sigma**2
    energy = torch.trapezoid(density * score**2, clean.squeeze(1))
    return float(kernel.std**2 + kernel.target**2 * sigma**2 * (1 - sigma**2 * energy))


def _mean_reverse_variance(t: Tensor, end: Tensor) -> float:
    """Return E Var(x_end | x_t) from the joint density of both, on a grid."""
    signal, noise = (math.pi / 2 * end).sin(), (math.pi / 2 * end).cos()
    share = (math.pi / 2 * t).sin() / signal
    u, x = line(-8, 8, 1601), line(-8, 8, 401)
    law = zip(WEIGHTS, MEANS, VARIANCES, strict=True)
    density = sum(
        w * log_normal(u, signal * m, signal**2 * v + noise**2).exp() for w, m, v in law
    ).squeeze(1)
    joint = density * log_normal(x, share * u.T, 1 - share**2).exp()
    u = u.squeeze(1)
    mass, first = torch.trapezoid(joint, u), torch.trapezoid(joint * u, u)
    second = torch.trapezoid(density * u**2, u)
    return float(second - torch.trapezoid(first**2 / mass.clamp(min=1e-300), x.squeeze(1)))


FACTS = (
    Fact(
        "optimal-reverse-variance",
        "The best variance of a reverse step is the mean variance of the earlier latent, and "
        "follows from the mean square of the score. It is above the smaller one of DDPM.",
        r"\sigma_*^2 = \tilde\beta + c_0^2\, \sigma^2 \Bigl(1 - \frac{\sigma^2}n "
        r"E |\nabla \log p_\sigma|^2\Bigr) = \frac1n E\, \mathrm{tr}\, "
        r"\mathrm{Cov}(x_{t-1} \mid x_t)",
        ("bao2022",),
        _optimal_reverse_variance,
    ),
)
