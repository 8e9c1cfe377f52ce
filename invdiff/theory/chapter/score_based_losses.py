"""Losses that find a score without knowing it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from numpy.polynomial.hermite_e import hermegauss
from torch import Tensor

from invdiff.interpolants.couplings import Draw
from invdiff.interpolants.interpolant import OneSided
from invdiff.interpolants.losses import interpolant_loss
from invdiff.interpolants.process import Field
from invdiff.priors import GaussianPrior
from invdiff.rng import derive_generator
from invdiff.theory.chapter.drawing import GREY, draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.score_based_laws import (
    ROUNDING,
    correlated,
    normals,
    points,
    quadrature,
    tensor,
    two_bumps,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_TIME, _VARIANCE, _COUNT = 0.6, 2.0, 20000


def _denoising_loss() -> Reading:
    """Compare the loss of s = -slope x with the one that needs the divergence of s."""
    slopes = points(0.2, 2.2, 11)
    x1, z, weights = _normal_pairs()
    draw, t = Draw(None, _VARIANCE**0.5 * x1), torch.full_like(z[:, 0], _TIME)
    total = _TIME**2 * _VARIANCE + (1 - _TIME) ** 2
    exact = slopes**2 * total / 2 - slopes
    losses = [interpolant_loss(_linear(a), "s", OneSided(), draw, t, z) for a in slopes]
    measured = torch.stack(losses) @ weights
    worst = int((measured - exact).abs().argmax())

    def picture(axes: Axes) -> None:
        draw_curves(axes, slopes, exact, {"denoising": measured}, "slope of the model", "loss")
        axes.axvline(1 / total, color=GREY, linestyle="--", linewidth=1)

    return Reading(float(measured[worst]), float(exact[worst]), 1e-10, ROUNDING, picture)


def _normal_pairs() -> tuple[Tensor, Tensor, Tensor]:
    """Return nodes and weights that are exact for polynomials of two standard normals."""
    nodes, weights = (tensor(v.tolist()) for v in hermegauss(8))
    x, z = (part.reshape(-1, 1) for part in torch.meshgrid(nodes, nodes, indexing="ij"))
    both = torch.outer(weights, weights).flatten()
    return x, z, both / both.sum()


def _linear(slope: Tensor) -> Field:
    return lambda x, t: -slope * x


def _score_size() -> Reading:
    prior, levels = correlated(), torch.logspace(-1, 1, 13, dtype=torch.float64)
    clean = prior.sample(_COUNT, generator=derive_generator(0, "score-size"))
    noise = normals("score-size-noise", _COUNT, 2)
    eye = torch.eye(2, dtype=torch.float64)
    exact = torch.stack(
        [torch.linalg.inv(prior.covariances[0] + s**2 * eye).trace() for s in levels]
    )
    squares = torch.stack([_square_score(prior, clean + s * noise, s) for s in levels])
    measured, errors = squares.mean(1), squares.std(1) / _COUNT**0.5
    worst = int(((measured - exact).abs() / errors).argmax())

    def draw(axes: Axes) -> None:
        curves = {"samples": measured, "n / sigma^2": 2 / levels**2}
        draw_curves(axes, levels, exact, curves, "sigma", "mean square of the score")
        axes.set(xscale="log", yscale="log")

    return Reading(
        float(measured[worst]), float(exact[worst]), float(4.5 * errors[worst]),
        "4.5 standard errors, of the farthest of 13", draw,
    )  # fmt: skip


def _square_score(prior: GaussianPrior, x: Tensor, sigma: Tensor) -> Tensor:
    return ((prior(x, sigma) - x) / sigma**2).square().sum(-1)


def _wrong_denoiser_mse() -> Reading:
    prior, sigma, assumed = two_bumps(), 0.7, points(0.2, 2.0, 19)
    x, x0 = points(-7, 7, 421), points(-6, 6, 601)
    density, clean = prior.log_prob(x.unsqueeze(-1), sigma).exp(), prior.log_prob(x0.unsqueeze(-1))
    kernel = (-((x.unsqueeze(-1) - x0) ** 2) / (2 * sigma**2)).exp() / math.sqrt(2 * math.pi)
    joint = clean.exp() * kernel / sigma

    def both(level: Tensor) -> tuple[Tensor, Tensor]:
        d, slope = prior(x.unsqueeze(-1), level)[:, 0], _slopes(x, level)
        sure = (d - x) ** 2 - sigma**2 + 2 * sigma**2 * slope
        square = quadrature(joint * (d.unsqueeze(-1) - x0) ** 2, x0)
        return quadrature(density * sure, x), quadrature(square, x)

    measured, exact = (torch.stack(v) for v in zip(*map(both, assumed), strict=True))
    worst = int((measured - exact).abs().argmax())
    return Reading(
        float(measured[worst]), float(exact[worst]), 1e-8,
        "trapezoidal rules that converge faster than any power of their step",
        lambda axes: draw_curves(
            axes, assumed, exact, {"without x0 (SURE)": measured},
            "sigma the denoiser is told (true: 0.7)", "mean square error",
        ),
    )  # fmt: skip


def _slopes(x: Tensor, level: Tensor) -> Tensor:
    """Return the derivative of the denoiser on the line, for all points at once."""
    x = x.unsqueeze(-1).requires_grad_()
    return torch.autograd.grad(two_bumps()(x, level).sum(), x)[0][:, 0]


FACTS = (
    Fact(
        "risk-without-truth",
        "The mean square error of any denoiser can be known from noisy images alone, by its "
        "divergence (Stein's unbiased risk estimate). It is least at the true noise level.",
        r"E |D(x) - x_0|^2 = E \bigl[|D(x) - x|^2 - n \sigma^2 + 2 \sigma^2 \nabla \cdot D(x)"
        r"\bigr]",
        ("stein1981",),
        _wrong_denoiser_mse,
    ),
    Fact(
        "denoising-score-matching",
        "Regression on the noise that was added has the same value as the loss that knows the "
        "noisy density, up to a constant; it is least at the true score.",
        r"E\bigl[\tfrac12 |s|^2 + \tfrac1\gamma z \cdot s\bigr] "
        r"= E\bigl[\tfrac12 |s|^2 + \nabla \cdot s\bigr]",
        ("vincent2011", "hyvarinen2005"),
        _denoising_loss,
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
