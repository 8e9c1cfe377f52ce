"""What a denoiser knows of the density: its score, its curvature, the spread that is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.priors import GaussianMixturePrior
from invdiff.theory.chapter.drawing import draw_curves, draw_diagonal
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.identity import identity_reading
from invdiff.theory.chapter.laws import ROUNDING, normals, points, tensor, three_modes, two_modes
from invdiff.theory.chapter.quadrature import SMOOTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]


def _tweedie() -> Reading:
    prior, sigma, x = three_modes(), tensor(0.6), 2 * normals("tweedie", 64, 2)
    x.requires_grad_()
    (score,) = torch.autograd.grad(prior.log_prob(x, sigma).sum(), x)
    exact = (x + sigma**2 * score).detach()
    measured = prior(x.detach(), sigma)
    return identity_reading(exact, measured, 1e-12, ("x + sigma^2 score", "denoiser"))


def _second_order() -> Reading:
    prior, sigma, x, x0 = two_modes(), tensor(0.7), points(-3, 3, 121), points(-6, 6, 2401)
    weight = prior.log_prob(x0.unsqueeze(-1)) - (x.unsqueeze(-1) - x0) ** 2 / (2 * sigma**2)
    weight = weight.softmax(-1)
    mean = (weight * x0).sum(-1)
    exact = (weight * (x0 - mean.unsqueeze(-1)) ** 2).sum(-1)
    measured = sigma**2 * _jacobians(x.unsqueeze(-1), sigma, prior)[:, 0, 0]
    worst = int((measured - exact).abs().argmax())
    return Reading(
        float(measured[worst]), float(exact[worst]), 1e-9,
        SMOOTH,
        lambda axes: draw_curves(
            axes, x, exact, {"sigma^2 D'(x)": measured}, "noisy x", "variance of x0 given x"
        ),
    )  # fmt: skip


def _is_gradient() -> Reading:
    x, sigma = 2 * normals("denoiser-is-gradient", 64, 2), tensor(0.6)
    prior = three_modes()
    measured = _jacobians(x, sigma, prior)
    exact = torch.eye(2, dtype=torch.float64) + sigma**2 * _hessians(x, sigma, prior)
    asymmetry = (measured - measured.mT).abs().max()
    return Reading(
        float(torch.maximum(asymmetry, (measured - exact).abs().max())), 0.0, 1e-11, ROUNDING,
        lambda axes: draw_diagonal(
            axes, measured[:, 0, 1], measured[:, 1, 0], "dD_1 / dx_2", "dD_2 / dx_1"
        ),
    )  # fmt: skip


def _curvature_bound() -> Reading:
    prior, x = three_modes(), 3 * normals("curvature-bound", 400, 2)
    levels = torch.logspace(-1, 1, 15, dtype=torch.float64)
    eigenvalues = [torch.linalg.eigvalsh(_jacobians(x, level, prior)) for level in levels]
    low = torch.stack([values.min() for values in eigenvalues])
    high = torch.stack([values.max() for values in eigenvalues])
    # every mode alone has the curvature of its own spread, and modes apart add to it
    alone = 0.3 / (0.3 + levels**2)
    curves = {"one mode alone": alone, "smallest": low, "largest": high}

    def draw(axes: Axes) -> None:
        draw_curves(axes, levels, None, curves, "sigma", "eigenvalues of D'")
        axes.set(xscale="log", yscale="log")

    return Reading(float((low / alone).min()), 1.0, 1e-9, ROUNDING, draw, ">=")


def _jacobians(x: Tensor, sigma: Tensor, prior: GaussianMixturePrior) -> Tensor:
    """Return dD / dx of each point, ``(batch, n, n)``."""
    x = x.clone().requires_grad_()
    return _rows(prior(x, sigma), x)


def _hessians(x: Tensor, sigma: Tensor, prior: GaussianMixturePrior) -> Tensor:
    x = x.clone().requires_grad_()
    (score,) = torch.autograd.grad(prior.log_prob(x, sigma).sum(), x, create_graph=True)
    return _rows(score, x)


def _rows(y: Tensor, x: Tensor) -> Tensor:
    # points don't know of each other: one derivative of a sum for each coordinate
    parts = y.sum(0)
    return torch.stack([torch.autograd.grad(p, x, retain_graph=True)[0] for p in parts], -2)


FACTS = (
    Fact(
        "tweedie",
        "The posterior mean of the clean image is the noisy one plus sigma^2 times the score.",
        r"E[x_0 \mid x_t = x] = x + \sigma^2 \nabla \log p_\sigma(x)",
        ("efron2011",),
        _tweedie,
    ),
    Fact(
        "tweedie-second-order",
        "The slope of the denoiser is the variance that is left in the clean image: where the "
        "output hangs on the input, as between two modes, the network does not know.",
        r"\mathrm{Cov}(x_0 \mid x) = \sigma^2 D'(x) "
        r"= \sigma^2 (I + \sigma^2 \nabla^2 \log p_\sigma(x))",
        ("efron2011", "boys2024"),
        _second_order,
    ),
    Fact(
        "denoiser-is-a-gradient",
        "An exact denoiser is the gradient of a function, so that its Jacobian is symmetric; that "
        "of a trained network need not be.",
        r"D'(x) = D'(x)^T = I + \sigma^2 \nabla^2 \log p_\sigma(x)",
        ("efron2011",),
        _is_gradient,
    ),
    Fact(
        "denoiser-slope-bound",
        "The Jacobian of a denoiser is a covariance and so never negative; that of a mixture is "
        "at least that of one mode alone, and far above it between the modes.",
        r"D'(x) = \mathrm{Cov}(x_0 \mid x) / \sigma^2 \ge \min_k C_k (C_k + \sigma^2)^{-1} \ge 0",
        ("efron2011",),
        _curvature_bound,
    ),
)
