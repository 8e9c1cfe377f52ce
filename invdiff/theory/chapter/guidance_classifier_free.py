"""Classifier-free guidance: where its score is that of a density, and what its flow reaches."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from invdiff.priors import GaussianMixturePrior, PretrainedPrior
from invdiff.priors.preconditioning import Network
from invdiff.samplers import karras_sigmas
from invdiff.superres.integrators import UniPC2
from invdiff.theory.chapter.drawing import COLORS, GREY, draw_curves, draw_diagonal, draw_order
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.solvers_orders import fitted_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

# all images are N(0, 1), those of the label N(1, 1/4)
_WEIGHT, _MEAN, _VARIANCE = 3.0, 1.0, 0.25


def _line(weights: list[float], means: list[float], variances: list[float]) -> GaussianMixturePrior:
    """Return a mixture of images of one pixel."""
    w, m, v = (torch.tensor(values, dtype=torch.float64) for values in (weights, means, variances))
    return GaussianMixturePrior(w, m.reshape(-1, 1, 1, 1), v.reshape(-1, 1, 1))


class _Classes(nn.Module):
    """A network that knows the posterior mean of a label, 0, and of all images, 1."""

    config = SimpleNamespace(sample_size=1, in_channels=1, num_class_embeds=2)

    def __init__(self, labelled: GaussianMixturePrior, every: GaussianMixturePrior) -> None:
        super().__init__()
        self.priors, self.precision = (labelled, every), nn.Parameter(torch.zeros(1))

    def forward(
        self, x: Tensor, sigma: Tensor, label: Tensor, return_dict: bool
    ) -> tuple[Tensor, ...]:
        return (self.priors[int(label[0])](x, sigma),)


class _Mean:
    """The output of the network is D itself."""

    def denoise(self, network: Network, x: Tensor, sigma: Tensor) -> Tensor:
        return network(x, sigma.flatten())

    def output_scale(self, sigma: Tensor) -> Tensor:
        return torch.ones_like(sigma)


def _guided(
    labelled: GaussianMixturePrior, every: GaussianMixturePrior, weight: float
) -> PretrainedPrior:
    return PretrainedPrior(
        _Classes(labelled, every), _Mean(), chunk_size=1024,
        info={"classes": ["label"]}, label="label", guidance=weight,
    )  # fmt: skip


def _modes() -> tuple[GaussianMixturePrior, GaussianMixturePrior]:
    """Return the law of the label, one of two modes, and that of all images."""
    return _line([1.0], [1.0], [0.1]), _line([0.5, 0.5], [-1.0, 1.0], [0.2, 0.1])


def _slope(prior: GaussianMixturePrior, x: Tensor, variance: Tensor) -> tuple[Tensor, ...]:
    """Return log p, and its derivatives in the variance of the noise, in x and twice in x."""
    log_prob = prior.log_prob(x.reshape(-1, 1, 1, 1), variance.sqrt())
    in_variance, first = torch.autograd.grad(log_prob.sum(), (variance, x), create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    return in_variance.detach(), first.detach(), second


def _score() -> Reading:
    labelled, every = _modes()
    x = torch.linspace(-2, 2, 41, dtype=torch.float64, requires_grad=True)
    sigma = torch.tensor(0.5, dtype=torch.float64)
    variance = torch.full_like(x, 0.25).requires_grad_()
    scores = [_slope(prior, x, variance)[1] for prior in (labelled, every)]
    exact = x.detach() + 0.25 * (_WEIGHT * scores[0] - (_WEIGHT - 1) * scores[1])
    found = _guided(labelled, every, _WEIGHT)(x.detach().reshape(-1, 1, 1), sigma).flatten()
    return Reading(
        float((found - exact).abs().max()),
        0.0,
        1e-5,
        "rounding in single precision, in which networks are called",
        lambda axes: draw_diagonal(axes, exact, found, "x + sigma^2 guided score", "guided D"),
    )


def _fokker_planck() -> Reading:
    x = torch.linspace(-3, 3, 121, dtype=torch.float64, requires_grad=True)
    weights = (1.0, 2.0, _WEIGHT)
    residuals = {f"w = {w:g}": _residual(x, w) for w in weights}
    found, exact = residuals[f"w = {_WEIGHT:g}"], _expected_residual(x.detach(), _WEIGHT)
    return Reading(
        float(found.max() - found.min()),
        float(exact.max() - exact.min()),
        1e-9,
        "rounding in double precision",
        lambda axes: draw_curves(
            axes, x.detach(), exact, residuals, "x", "Fokker-Planck residual"
        ),
    )  # fmt: skip


def _residual(x: Tensor, weight: float) -> Tensor:
    """Return d/dv log p - (lap log p + |grad log p|^2) / 2 of the guided density, by autograd."""
    variance = torch.full_like(x, 0.2).requires_grad_()
    of_label, of_all = (_slope(prior, x, variance) for prior in _modes())
    in_variance, first, second = (
        weight * a + (1 - weight) * b for a, b in zip(of_label, of_all, strict=True)
    )
    return in_variance - (second + first**2) / 2


def _expected_residual(x: Tensor, weight: float) -> Tensor:
    """Return w (1 - w) / 2 times the squared difference of the scores, from the denoisers."""
    sigma, image = torch.tensor(0.2**0.5, dtype=torch.float64), x.reshape(-1, 1, 1, 1)
    labelled, every = _modes()
    gap = (labelled(image, sigma) - every(image, sigma)).flatten() / 0.2
    return weight * (1 - weight) / 2 * gap**2


def _gaussians(weight: float = _WEIGHT) -> PretrainedPrior:
    return _guided(_line([1.0], [_MEAN], [_VARIANCE]), _line([1.0], [0.0], [1.0]), weight)


def _tilted(weight: float = _WEIGHT) -> tuple[float, float]:
    """Return mean and variance of N(0, 1)^(1 - w) N(m, v)^w."""
    precision = 1 - weight + weight / _VARIANCE
    return weight * _MEAN / _VARIANCE / precision, 1 / precision


def _vanishing() -> Reading:
    prior, (mean, variance) = _gaussians(), _tilted()
    x = torch.linspace(-1, 3, 21, dtype=torch.float64).reshape(-1, 1, 1)
    sigmas = np.asarray([0.03, 0.04, 0.06, 0.08])
    gaps = []
    for sigma in sigmas:
        score = (prior(x, torch.tensor(sigma)) - x) / sigma**2
        gaps.append(float((score + (x - mean) / (variance + sigma**2)).abs().max()))
    return Reading(
        fitted_order(sigmas, gaps),
        2.0,
        0.2,
        "the next order in sigma",
        lambda axes: draw_order(axes, sigmas, {"gap between the scores": (gaps, 2.0)}, "sigma"),
    )


def _reached(weight: float = _WEIGHT) -> tuple[float, float]:
    """Return mean and standard deviation that the flow of the guided score reaches."""
    sigmas = torch.cat([karras_sigmas(120, 200.0, 0.002), torch.zeros(1, dtype=torch.float64)])
    x = torch.tensor([0.0, 200.0], dtype=torch.float64).reshape(-1, 1, 1)
    centre, edge = UniPC2()(_gaussians(weight), x, sigmas).flatten().tolist()
    return centre, edge - centre


def _reached_std() -> Reading:
    return Reading(
        _reached()[1],
        _VARIANCE ** (_WEIGHT / 2),
        2e-4,
        "single precision and the solver's error",
        _draw_reached,
    )


def _reached_mean() -> Reading:
    return Reading(
        _reached()[0],
        _MEAN * (1 + 2 * _VARIANCE),
        2e-3,
        "single precision and the solver's error",
        _draw_means,
    )


def _draw_means(axes: Axes) -> None:
    weights = np.linspace(1, 4, 7)
    means = {
        "guided flow": [_reached(w)[0] for w in weights],
        "tilted": [_tilted(w)[0] for w in weights],
    }
    draw_curves(axes, weights, None, means, "w", "mean")


def _draw_reached(axes: Axes) -> None:
    x, (mean, variance) = np.linspace(-2, 3, 400), _tilted()
    reached = _reached()
    laws = {
        "all": (0.0, 1.0, GREY),
        "label": (_MEAN, _VARIANCE**0.5, COLORS[2]),
        "tilted": (mean, variance**0.5, COLORS[1]),
        "guided flow": (*reached, COLORS[0]),
    }
    for name, (m, s, color) in laws.items():
        density = np.exp(-(((x - m) / s) ** 2) / 2) / (s * math.sqrt(2 * math.pi))
        axes.plot(x, density, color=color, linewidth=1.3, label=name)
    axes.set(xlabel="x", ylabel="density")
    axes.legend(frameon=False, fontsize=7)


FACTS = (
    Fact(
        "classifier-free-score",
        "Classifier-free guidance continues the step from the score of all images to that of a "
        "label, w times as far.",
        r"D_w = x + \sigma^2 (w\, s_{label} - (w - 1)\, s_{all})",
        ("ho2022guidance",),
        _score,
    ),
    Fact(
        "classifier-free-fokker-planck",
        "For w other than 0 and 1 no density with that score diffuses: the residual of the "
        "Fokker-Planck equation depends on x, so that no normalisation repairs it.",
        r"\partial_v \ell - \tfrac12 (\Delta \ell + |\nabla \ell|^2) = "
        r"\tfrac{w (1 - w)}{2} |s_{label} - s_{all}|^2, \qquad v = \sigma^2",
        ("ho2022guidance",),
        _fokker_planck,
    ),
    Fact(
        "classifier-free-tilt-without-noise",
        "The guided score is that of the tilted density at noise 0 only: their gap grows with "
        "the variance of the noise.",
        r"s_w - \nabla \log (\tilde p * N(0, \sigma^2)) = O(\sigma^2), \qquad "
        r"\tilde p \propto p^{1 - w} p_{label}^w",
        ("ho2022guidance",),
        _vanishing,
    ),
    Fact(
        "classifier-free-spread",
        "The flow of the guided score of two Gaussians ends with the weighted geometric mean of "
        "their variances, 0.125 in standard deviations; the tilted density has 0.316.",
        r"\mathrm{Var} = v_{all}^{1 - w} v_{label}^w \ne \Bigl(\tfrac{1 - w}{v_{all}} + "
        r"\tfrac{w}{v_{label}}\Bigr)^{-1}",
        ("ho2022guidance",),
        _reached_std,
    ),
    Fact(
        "classifier-free-mean",
        "That flow also overshoots: for w = 3 it ends about 1.5, where the label has its mean at "
        "1 and the tilted density at 1.2.",
        r"E = m \Bigl(1 + 2 \tfrac{v_{label}}{v_{all}}\Bigr) \quad \text{for } w = 3, \qquad "
        r"\tilde m = \frac{3 m v_{all}}{3 v_{all} - 2 v_{label}}",
        ("ho2022guidance",),
        _reached_mean,
    ),
)
