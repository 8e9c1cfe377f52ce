"""Denoisers of laws with structure: on a subspace, along a chain of slices."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.priors import AR1VolumePrior, SubspacePrior
from invdiff.theory.chapter.drawing import draw_curves, draw_order
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import ROUNDING, normals, tensor, three_modes

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

    return Reading(
        max(errors), 0.0, 1e-11, ROUNDING,
        lambda axes: draw_order(axes, levels, lines, "sigma", "mean size of the score"),
    )  # fmt: skip


def _score_of_modes(z: Tensor, sigma: float) -> Tensor:
    """Return the score of the three modes under noise."""
    means = tensor([[-1.5, 0.0], [1.0, 1.0], [0.5, -2.0]])
    pull, variance = means - z.unsqueeze(-2), 0.3 + sigma**2
    share = (tensor([0.5, 0.3, 0.2]).log() - pull.square().sum(-1) / (2 * variance)).softmax(-1)
    return (share.unsqueeze(-1) * pull).sum(-2) / variance


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
        "noise-of-its-own-for-each-slice",
        "A denoiser that is told the noise of each slice lets clean slices speak for noisy ones; "
        "slices denoised alone fall to the mean.",
        r"D(x, \sigma) = S (S + \mathrm{diag}\, \sigma_z^2)^{-1} x",
        ("efron2011",),
        _slices,
    ),
)
