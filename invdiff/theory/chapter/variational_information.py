"""Divergence and information, as integrals of what a denoiser knows."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from invdiff.interpolants import kl_on_grid
from invdiff.theory.chapter.drawing import GREY, draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import gaussian, line, signs, tensor, two_modes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]


def _divergence_in_time() -> Reading:
    edges = torch.logspace(math.log10(0.1), 1, 13, dtype=torch.float64)
    divergences = torch.stack([_divergence(sigma) for sigma in edges])
    parts = [_fisher_integral(*ends) for ends in itertools.pairwise(edges)]
    lost = torch.stack([tensor(0.0), *parts]).cumsum(0)
    return Reading(
        float(lost[-1]), float(divergences[0] - divergences[-1]), 1e-7, "quadrature on a grid",
        lambda axes: _draw_divergence(axes, edges, divergences, divergences[0] - lost),
    )  # fmt: skip


def _draw_divergence(axes: Axes, sigma: Tensor, exact: Tensor, measured: Tensor) -> None:
    draw_curves(
        axes, sigma, exact, {"start - integral of Fisher": measured}, "sigma", "KL of p and q"
    )
    axes.set(xscale="log")


def _divergence(sigma: Tensor) -> Tensor:
    x = line(-9, 9, 6001) * (1 + sigma)
    p, q = two_modes().log_prob(x, sigma), gaussian(0.3, 1.0).log_prob(x, sigma)
    return tensor(kl_on_grid(p, q, x.squeeze(1)))


def _fisher_integral(low: Tensor, high: Tensor) -> Tensor:
    """Integrate half of the Fisher divergence over the variance, by Gauss-Legendre in its log."""
    nodes, weights = np.polynomial.legendre.leggauss(6)
    half = (high / low).log() / 2
    levels = [(low * high).sqrt() * (half * node).exp() for node in nodes]
    terms = [w * s**2 * _fisher(s) for w, s in zip(weights, levels, strict=True)]
    return half * torch.stack(terms).sum()


def _fisher(sigma: Tensor) -> Tensor:
    x = line(-9, 9, 3001) * (1 + sigma)
    difference = (two_modes()(x, sigma) - gaussian(0.3, 1.0)(x, sigma)).squeeze(1) / sigma**2
    return torch.trapezoid(two_modes().log_prob(x, sigma).exp() * difference**2, x.squeeze(1))


def _information_from_errors() -> Reading:
    nodes, weights = np.polynomial.legendre.leggauss(6)
    edges = 64 * torch.linspace(0, 1, 25, dtype=torch.float64) ** 2
    ratios = edges[:-1, None] + edges.diff()[:, None] * (1 + torch.from_numpy(nodes)) / 2
    errors = torch.stack([_mean_square_error(r) for r in ratios.flatten()]).reshape(ratios.shape)
    parts = edges.diff() / 2 * (errors * torch.from_numpy(weights)).sum(1) / 2
    known = torch.cat([parts.new_zeros(1), parts.cumsum(0)])
    return Reading(
        float(known[-1]), math.log(2), 1e-6, "quadrature",
        lambda axes: _draw_information(axes, edges, known),
    )  # fmt: skip


def _draw_information(axes: Axes, ratios: Tensor, known: Tensor) -> None:
    axes.axhline(math.log(2), color=GREY, linestyle="--", linewidth=1, label="log 2, one bit")
    draw_curves(
        axes, ratios, None, {"half the integral of the error": known},
        "1 / sigma^2", "information in nats",
    )  # fmt: skip
    axes.set(xlim=(0, 16))


def _mean_square_error(ratio: Tensor) -> Tensor:
    """Return the error of the denoiser of -1 and 1; both are alike, so 1 is enough."""
    sigma, z = ratio.rsqrt(), line(-10, 10, 1001)
    denoised = signs()(1 + sigma * z, sigma)
    density = (-(z**2) / 2).exp() / math.sqrt(2 * math.pi)
    return torch.trapezoid(((1 - denoised) ** 2 * density).squeeze(1), z.squeeze(1))


FACTS = (
    Fact(
        "divergence-in-time",
        "Noise brings two laws together, at half the rate of the mean square difference of their "
        "scores. So a score error at every level is what an error of the density is made of.",
        r"\frac{d}{d \sigma^2} KL(p_\sigma \| q_\sigma) = -\tfrac12 E_p "
        r"|\nabla \log p_\sigma - \nabla \log q_\sigma|^2",
        ("stam1959", "song2021likelihood"),
        _divergence_in_time,
    ),
    Fact(
        "information-from-denoising-errors",
        "The errors of the best denoiser at all levels add up to the information of the image. A "
        "fair choice between -1 and 1 gives log 2, one bit.",
        r"I(x_0; x_\sigma) = \tfrac12 \int_0^{1 / \sigma^2} E |x_0 - D(x, r^{-1/2})|^2\, dr",
        ("guo2005",),
        _information_from_errors,
    ),
)
