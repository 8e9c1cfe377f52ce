"""Losses of denoisers and scores: which have one minimum, and by how much they differ."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from invdiff.interpolants import Draw, OneSided, exact_divergence, interpolant_loss
from invdiff.priors import GaussianPrior
from invdiff.rng import derive_generator
from invdiff.theory.chapter.drawing import COLORS, GREY, draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.variational_examples import (
    ROUNDING,
    line,
    log_normal,
    normal_nodes,
    number,
    three_modes,
)
from invdiff.training import objective_named
from invdiff.training.objective import Noisy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_TIME = 0.4
_X, _SIGMA = 0.4, 0.7
_OBJECTIVES = ("ddpm", "edm", "flow", "sample", "v")


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


def _one_minimum() -> Reading:
    parabolas = {name: _parabola(name) for name in _OBJECTIVES}
    exact = float((number(_X) / _SIGMA**2).tanh())
    worst = max(max(abs(p.lowest - exact), p.error) for p in parabolas.values())
    return Reading(worst, 0.0, 1e-9, ROUNDING, lambda axes: _draw_parabolas(axes, parabolas, exact))


def _draw_parabolas(axes: Axes, parabolas: dict[str, _Parabola], exact: float) -> None:
    styles, colors = ("-", "--", ":", "-", "--"), (*COLORS, "#333333")
    for (name, p), style, color in zip(parabolas.items(), styles, colors, strict=True):
        excess = p.losses - p.losses.min()
        axes.plot(p.denoised, excess, style, color=color, label=name, linewidth=1.5)
    axes.axvline(exact, color=GREY, linewidth=1, label="posterior mean")
    axes.set(xlabel="D(x)", ylabel="loss above its minimum", xlim=(-0.5, 1.8), ylim=(-0.1, 2))
    axes.legend(frameon=False, fontsize=7)


class _Parabola(NamedTuple):
    """Denoised values given x, their losses, where the loss is least, and its largest error."""

    denoised: Tensor
    losses: Tensor
    lowest: float
    error: float


def _parabola(name: str) -> _Parabola:
    objective, sigma = objective_named(name), number(_SIGMA).expand(2, 1, 1, 1)
    clean = torch.tensor([-1.0, 1.0], dtype=torch.float64).reshape(2, 1, 1, 1)
    noisy = Noisy(torch.full_like(clean, _X), sigma)
    posterior = (-((noisy.x - clean) ** 2) / (2 * sigma**2)).flatten().softmax(0)
    targets = _target(name, clean.flatten())

    def at(output: Tensor) -> tuple[Tensor, Tensor]:
        def network(x: Tensor, time: Tensor) -> Tensor:
            return output.expand_as(x)

        denoised = objective.preconditioning.denoise(network, *noisy)
        return denoised[0].squeeze(), posterior @ objective.losses(network, clean, noisy)

    lowest, _ = at(posterior @ targets)
    outputs = torch.linspace(-6, 6, 121, dtype=torch.float64)
    denoised, losses = (torch.stack(p) for p in zip(*map(at, outputs), strict=True))
    plain = (outputs[:, None] - targets) ** 2 @ posterior
    return _Parabola(denoised, losses, float(lowest), float((losses - plain).abs().max()))


def _target(name: str, x0: Tensor, sigma_data: float = 0.5) -> Tensor:
    """Return what the networks of the papers predict, for images x0 behind the same x."""
    noise, total = (_X - x0) / _SIGMA, math.hypot(_SIGMA, sigma_data)
    skipped = x0 - (sigma_data / total) ** 2 * _X
    return {
        "ddpm": noise,
        "sample": x0,
        "v": (noise - _SIGMA * x0) / math.hypot(1, _SIGMA),
        "flow": noise - x0,
        "edm": skipped * total / (_SIGMA * sigma_data),
    }[name]


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
    Fact(
        "one-minimum-of-all-objectives",
        "Whether a network predicts the noise, the clean image, v, a velocity or the output of "
        "EDM, its square error is least where the denoised image is the posterior mean. Only the "
        "weights of the levels differ.",
        r"\arg\min_F E \bigl[|F - F_{target}|^2 \bigm| x\bigr] \ \Rightarrow\ "
        r"c_{skip}\, x + c_{out} F = E[x_0 \mid x]",
        ("karras2022", "salimans2022"),
        _one_minimum,
    ),
)
