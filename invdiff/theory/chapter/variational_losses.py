"""Losses of scores and denoisers, with and without the clean image."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.interpolants import Draw, OneSided, exact_divergence, interpolant_loss
from invdiff.priors import GaussianPrior
from invdiff.rng import derive_generator
from invdiff.theory.chapter.drawing import draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.variational_examples import (
    line,
    log_normal,
    normal_nodes,
    number,
    three_modes,
)

__all__ = ["FACTS"]

_TIME = 0.4


def _wrong_score(x: Tensor, slope: Tensor) -> Tensor:
    return x.tanh() - slope * x


def _score_matching_constant() -> Reading:
    slopes = torch.linspace(1.0, 5.0, 17, dtype=torch.float64)
    denoising = torch.stack([_denoising_loss(slope) for slope in slopes])
    implicit = torch.stack([_implicit_loss(slope) for slope in slopes])
    constant = 1 / (2 * (1 - _TIME) ** 2)
    return Reading(
        float((denoising - implicit).abs().max()), 0.0, 1e-9, "rounding, both by quadrature",
        lambda axes: draw_curves(
            axes, slopes, None,
            {"denoising": denoising + constant, "implicit": implicit},
            "slope of the score", "loss",
        ),
    )  # fmt: skip


def _denoising_loss(slope: Tensor) -> Tensor:
    """Return the package's loss of a score of x = 0.4 x1 + 0.6 z with x1 = -1 or 1."""
    nodes, weights = normal_nodes(80)
    z = nodes.repeat(2)[:, None]
    x1 = torch.ones_like(nodes)
    ends = torch.cat([-x1, x1])[:, None]
    losses = interpolant_loss(
        lambda x, t: _wrong_score(x, slope), "s", OneSided(), Draw(None, ends),
        torch.full((len(z),), _TIME, dtype=torch.float64), z,
    )  # fmt: skip
    return (losses * weights.repeat(2)).sum() / 2


def _implicit_loss(slope: Tensor) -> Tensor:
    x = line(-9, 9, 4001)[:, 0].requires_grad_()
    score = _wrong_score(x, slope)
    (derivative,) = torch.autograd.grad(score.sum(), x)
    variance = number((1 - _TIME) ** 2)
    density = sum(log_normal(x, number(m), variance).exp() / 2 for m in (-_TIME, _TIME))
    return torch.trapezoid(density * (score**2 / 2 + derivative), x).detach()


def _gaussian_score_energy() -> Reading:
    root = torch.tensor([[1.0, 0, 0], [0.6, 0.5, 0], [-0.3, 0.2, 0.8]], dtype=torch.float64)
    prior = GaussianPrior(torch.ones(3, dtype=torch.float64), root @ root.T)
    levels = torch.linspace(0.3, 2.0, 8, dtype=torch.float64)
    energies = torch.stack([_score_energies(prior, sigma) for sigma in levels])
    unit = torch.eye(3, dtype=torch.float64)
    exact = torch.stack([torch.linalg.inv(root @ root.T + s**2 * unit).trace() for s in levels])
    error = float(energies[0].std()) / energies.shape[1] ** 0.5
    return Reading(
        float(energies[0].mean()), float(exact[0]), 4.5 * error, "4.5 standard errors",
        lambda axes: draw_curves(
            axes, levels, exact, {"mean of 20000": energies.mean(1)}, "sigma", "E |score|^2"
        ),
    )  # fmt: skip


def _score_energies(prior: GaussianPrior, sigma: Tensor) -> Tensor:
    generator = derive_generator(0, "gaussian-score-energy")
    clean = prior.sample(20000, generator=generator)
    x = clean + sigma * torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    return (((prior(x, sigma) - x) / sigma**2) ** 2).sum(1)


def _sure() -> Reading:
    told = torch.linspace(0.3, 1.1, 7, dtype=torch.float64)
    pairs = [_risks(level) for level in told]
    estimates, errors = (torch.stack(part) for part in zip(*pairs, strict=True))
    gap = estimates[-1] - errors[-1]
    return Reading(
        float(estimates[-1].mean()), float(errors[-1].mean()),
        4.5 * float(gap.std()) / len(gap) ** 0.5, "4.5 standard errors of the difference",
        lambda axes: draw_curves(
            axes, told, errors.mean(1), {"SURE, without the truth": estimates.mean(1)},
            "sigma that the denoiser is told (true: 0.6)", "square error",
        ),
    )  # fmt: skip


def _risks(told: Tensor) -> tuple[Tensor, Tensor]:
    """Return Stein's estimate and the true square error of a denoiser of another noise level."""
    prior, sigma, generator = three_modes(), 0.6, derive_generator(0, "stein-unbiased-risk")
    clean = prior.sample(20000, generator=generator)
    x = clean + sigma * torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    denoised, divergence = exact_divergence(prior, x, told)
    estimate = ((x - denoised) ** 2).sum(1) - 2 * sigma**2 + 2 * sigma**2 * divergence
    return estimate, ((denoised - clean) ** 2).sum(1)


FACTS = (
    Fact(
        "score-matching-constant",
        "Denoising score matching and implicit score matching, which needs no clean image but the "
        "derivative of the score, differ by a constant, for right and wrong scores alike.",
        r"E\,\tfrac12 \Bigl|s(x_t) + \frac z\gamma\Bigr|^2 = E \Bigl[\tfrac12 |s(x_t)|^2 + "
        r"\nabla \cdot s(x_t)\Bigr] + \frac{n}{2 \gamma^2}",
        ("vincent2011", "hyvarinen2005"),
        _score_matching_constant,
    ),
    Fact(
        "gaussian-score-energy",
        "The mean square of the score is the Fisher information. For a Gaussian it is the trace of "
        "the inverse covariance, so noise only lowers it.",
        r"E |\nabla \log p_\sigma(x)|^2 = \mathrm{tr}\,(C + \sigma^2)^{-1}",
        ("hyvarinen2005",),
        _gaussian_score_energy,
    ),
    Fact(
        "stein-unbiased-risk",
        "The square error of any denoiser can be estimated without clean images, from what it "
        "changes and from its divergence. The estimate is least where the noise level is right.",
        r"E |D(x) - x_0|^2 = E \bigl[|x - D(x)|^2 - n \sigma^2 + 2 \sigma^2\, \nabla \cdot D(x)"
        r"\bigr]",
        ("stein1981",),
        _sure,
    ),
)
