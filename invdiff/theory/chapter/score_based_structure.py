"""Denoisers of laws with structure: on a subspace, in parts, along a chain of slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.priors import AR1VolumePrior, RoutedPrior, SubspacePrior
from invdiff.priors.routing import MixtureRouter, mixture_components
from invdiff.theory.chapter.drawing import draw_curves, draw_order
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.score_based_laws import (
    ROUNDING,
    normals,
    points,
    tensor,
    three_modes,
    two_bumps,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]


def _subspace() -> Reading:
    basis = torch.linalg.qr(normals("subspace-basis", 6, 2)).Q
    offset, x = normals("subspace-offset", 6), 2 * normals("subspace-points", 64, 6)
    prior, levels = SubspacePrior(offset, basis, three_modes()), tensor([0.03, 0.1, 0.3, 1.0])
    across = (x - offset) - (x - offset) @ basis @ basis.T
    errors, sizes, along = [], [], []
    for sigma in levels:
        within = _score_of_modes((x - offset) @ basis, float(sigma))
        exact = within @ basis.T - across / sigma**2
        errors.append(float((((prior(x, sigma) - x) / sigma**2 - exact) * sigma**2).abs().max()))
        sizes.append(float((across / sigma**2).norm(dim=1).mean()))
        along.append(float(within.norm(dim=1).mean()))
    lines = {"across": (sizes, -2.0), "along": (along, 0.0)}

    def draw(axes: Axes) -> None:
        draw_order(axes, levels, lines, "sigma")
        axes.set(ylabel="mean size of the score")

    return Reading(max(errors), 0.0, 1e-11, ROUNDING, draw)


def _score_of_modes(z: Tensor, sigma: float) -> Tensor:
    """Return the score of the three modes under noise."""
    means = tensor([[-1.5, 0.0], [1.0, 1.0], [0.5, -2.0]])
    pull, variance = means - z.unsqueeze(-2), 0.3 + sigma**2
    share = (tensor([0.5, 0.3, 0.2]).log() - pull.square().sum(-1) / (2 * variance)).softmax(-1)
    return (share.unsqueeze(-1) * pull).sum(-2) / variance


def _experts() -> Reading:
    law, sigma, x = two_bumps(), tensor(0.6), points(-4, 4, 161)
    experts = mixture_components(law)
    routed = RoutedPrior(experts, MixtureRouter(law.weights, experts))
    measured = routed(x.unsqueeze(-1), sigma)[:, 0]
    y = x.clone().requires_grad_()
    variance, off = tensor([0.04, 0.25]) + sigma**2, y.unsqueeze(-1) - tensor([-1.5, 1.0])
    density = (tensor([0.3, 0.7]) / variance.sqrt() * (-(off**2) / (2 * variance)).exp()).sum(-1)
    (score,) = torch.autograd.grad(density.log().sum(), y)
    exact = x + sigma**2 * score
    curves = {f"expert {k}": e(x.unsqueeze(-1), sigma)[:, 0] for k, e in enumerate(experts)}
    curves["routed"] = measured
    return Reading(
        float((measured - exact).abs().max()), 0.0, 1e-12, ROUNDING,
        lambda axes: draw_curves(axes, x, exact, curves, "noisy x", "E[x0 | x]"),
    )  # fmt: skip


def _slices() -> Reading:
    count, r = 24, 0.9
    prior, z = AR1VolumePrior((count, 1, 1), r), torch.arange(count)
    sigma = torch.where((z < 4) | (z > 19), 0.05, 2.0).double()
    covariance = r ** (z[:, None] - z).abs().double()
    root = torch.linalg.cholesky(covariance)
    truth = root @ normals("noise-per-slice-truth", count)
    x = truth + sigma * normals("noise-per-slice", count)
    measured = prior(x.reshape(count, 1, 1), sigma).flatten()
    exact = covariance @ torch.linalg.solve(covariance + torch.diag(sigma**2), x)
    alone = x / (1 + sigma**2)
    curves = {"jointly": measured, "slice by slice": alone, "truth": truth}
    return Reading(
        float((measured - exact).abs().max()), 0.0, 1e-11, ROUNDING,
        lambda axes: draw_curves(axes, z, exact, curves, "slice", "E[x0 | x]"),
    )  # fmt: skip


FACTS = (
    Fact(
        "score-of-a-subspace",
        "Where the images fill a subspace only, their score has two parts: one within, of few "
        "dimensions, and a pull back to it that grows without bound as the noise falls.",
        r"\nabla \log p_\sigma(x) = B\, s_z(B^T (x - m)) - (I - B B^T) (x - m) / \sigma^2",
        ("chen2023subspace",),
        _subspace,
    ),
    Fact(
        "mixture-of-experts",
        "Denoisers of the parts of a data set make that of the whole, weighted by the probability "
        "of each part given the noisy image: experts may be trained apart.",
        r"E[x_0 | x] = \sum_k p(k | x)\, E[x_0 | x, k]",
        ("mcallister2025",),
        _experts,
    ),
    Fact(
        "noise-of-its-own-for-each-slice",
        "A denoiser that is told the noise of each slice lets clean slices speak for noisy ones; "
        "slices denoised alone fall to the mean.",
        r"D(x, \sigma) = S (S + \mathrm{diag}\, \sigma_z^2)^{-1} x",
        ("efron2011",),
        _slices,
    ),
)
