"""Losses that find a score or a denoiser without knowing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.interpolants import Draw, OneSided, exact_divergence, interpolant_loss
from invdiff.theory.chapter.affine import sigma_points
from invdiff.theory.chapter.drawing import draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import ROUNDING, correlated, line, points, tensor, two_modes
from invdiff.theory.chapter.quadrature import SMOOTH, log_normal, normal_nodes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_TIME, _SIGMA = 0.4, 0.7


def _wrong_score(x: Tensor, slope: Tensor) -> Tensor:
    return x.tanh() - slope * x


def _denoising() -> Reading:
    slopes = points(1.0, 5.0, 17)
    denoising = torch.stack([_denoising_loss(slope) for slope in slopes])
    implicit = torch.stack([_implicit_loss(slope) for slope in slopes])
    constant = 1 / (2 * (1 - _TIME) ** 2)
    curves = {"denoising, and its constant": denoising + constant, "implicit": implicit}
    return Reading(
        float((denoising - implicit).abs().max()), 0.0, 1e-9, "rounding, both by quadrature",
        lambda axes: draw_curves(axes, slopes, None, curves, "slope of the score", "loss"),
    )  # fmt: skip


def _denoising_loss(slope: Tensor) -> Tensor:
    """Return the package's loss of a score of x = 0.4 x1 + 0.6 z with x1 = -1 or 1."""
    nodes, weights = normal_nodes(80)
    z, x1 = nodes.repeat(2).unsqueeze(1), torch.ones_like(nodes)
    losses = interpolant_loss(
        lambda x, t: _wrong_score(x, slope), "s", OneSided(),
        Draw(None, torch.cat([-x1, x1]).unsqueeze(1)), z.new_full((len(z),), _TIME), z,
    )  # fmt: skip
    return (losses * weights.repeat(2)).sum() / 2


def _implicit_loss(slope: Tensor) -> Tensor:
    x = points(-9, 9, 4001).requires_grad_()
    score = _wrong_score(x, slope)
    (derivative,) = torch.autograd.grad(score.sum(), x)
    density = sum(log_normal(x, m, (1 - _TIME) ** 2).exp() / 2 for m in (-_TIME, _TIME))
    return torch.trapezoid(density * (score**2 / 2 + derivative), x).detach()


def _score_size() -> Reading:
    """Average over sigma points: the score of a Gaussian is affine."""
    prior, levels = correlated(), torch.logspace(-1, 1, 13, dtype=torch.float64)
    eye = torch.eye(2, dtype=torch.float64)
    totals = tensor([[1.5, 0.9], [0.9, 0.8]]) + levels.reshape(-1, 1, 1) ** 2 * eye
    exact = torch.linalg.inv(totals).diagonal(dim1=1, dim2=2).sum(1)
    squares = []
    for sigma, root in zip(levels, torch.linalg.cholesky(totals), strict=True):
        x = tensor([1.0, -0.5]) + sigma_points(2) @ root.T
        squares.append(((prior(x, sigma) - x) / sigma**2).square().sum(1).mean())
    measured = torch.stack(squares)

    def draw(axes: Axes) -> None:
        curves = {"denoiser": measured, "n / sigma^2": 2 / levels**2}
        draw_curves(axes, levels, exact, curves, "sigma", "mean square of the score")
        axes.set(xscale="log", yscale="log")

    return Reading(float((measured / exact - 1).abs().max()), 0.0, 1e-10, ROUNDING, draw)


def _risk() -> Reading:
    assumed = points(0.2, 2.0, 19)
    measured, exact = (torch.stack(v) for v in zip(*map(_risks, assumed), strict=True))
    worst = int((measured - exact).abs().argmax())
    return Reading(
        float(measured[worst]), float(exact[worst]), 1e-8, SMOOTH,
        lambda axes: draw_curves(
            axes, assumed, exact, {"without x0": measured},
            "sigma the denoiser is told (true: 0.7)", "mean square error",
        ),
    )  # fmt: skip


def _risks(level: Tensor) -> tuple[Tensor, Tensor]:
    """Return Stein's estimate and the true error of a denoiser that is told another level."""
    prior, x, x0 = two_modes(), line(-7, 7, 421), points(-6, 6, 601)
    joint = (prior.log_prob(x0.unsqueeze(1)) + log_normal(x, x0, _SIGMA**2)).exp()
    denoised, slope = exact_divergence(prior, x, level)
    sure = ((denoised - x) ** 2).squeeze(1) - _SIGMA**2 + 2 * _SIGMA**2 * slope
    density = prior.log_prob(x, _SIGMA).exp()
    square = torch.trapezoid(joint * (denoised - x0) ** 2, x0)
    return torch.trapezoid(density * sure, x.squeeze(1)), torch.trapezoid(square, x.squeeze(1))


FACTS = (
    Fact(
        "stein-unbiased-risk",
        "The mean square error of any denoiser can be known from noisy images alone, by its "
        "divergence. It is least where the denoiser is told the true noise level.",
        r"E |D(x) - x_0|^2 = E \bigl[|D(x) - x|^2 - n \sigma^2 + 2 \sigma^2 \nabla \cdot D(x)"
        r"\bigr]",
        ("stein1981",),
        _risk,
    ),
    Fact(
        "denoising-score-matching",
        "Regression on the noise that was added has the same value, up to a constant, as implicit "
        "score matching, which needs no clean image but the derivative of the score: for right "
        "and wrong scores alike.",
        r"E\,\tfrac12 \Bigl|s(x_t) + \frac z\gamma\Bigr|^2 = E \Bigl[\tfrac12 |s(x_t)|^2 + "
        r"\nabla \cdot s(x_t)\Bigr] + \frac{n}{2 \gamma^2}",
        ("vincent2011", "hyvarinen2005"),
        _denoising,
    ),
    Fact(
        "size-of-the-score",
        "The mean square of the score of a Gaussian is the trace of its precision; of noise of n "
        "numbers it tends to n / sigma^2, which is what a loss has to be weighted against.",
        r"E |\nabla \log p_\sigma|^2 = \mathrm{tr} (C + \sigma^2)^{-1}",
        ("hyvarinen2005",),
        _score_size,
    ),
)
