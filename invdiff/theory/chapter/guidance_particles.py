"""Weights and moves that leave the target as it is, whatever the guidance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianMixturePrior, GaussianPrior
from invdiff.rng import derive_generator
from invdiff.samplers import DPS, Twisted
from invdiff.samplers.data_covariance import DataCovariance
from invdiff.samplers.rejuvenation import langevin
from invdiff.samplers.tempered_target import TemperedTarget
from invdiff.theory.chapter.affine import UnitDraws, law_after
from invdiff.theory.chapter.drawing import COLORS, GREY, draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import ROUNDING
from operators import GaussianNoise, Mask, Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]


class _Common:
    """Unit vectors for particles that draw from one stream together."""

    def __init__(self, draws: UnitDraws) -> None:
        self.draws = draws

    def normal(self, num_particles: int, shape: Sequence[int], like: Tensor) -> Tensor:
        return self.draws.normal(shape, like)


def _kernel() -> Reading:
    generator = derive_generator(0, "ensemble-kernel")
    a = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    alpha, sigma = (torch.tensor(value, dtype=torch.float64) for value in (0.4, 0.7))
    likelihood = Likelihood(Matrix(a), GaussianNoise(0.5), torch.tensor([0.6, -1.0]).double())
    target = TemperedTarget(likelihood, GaussianPrior(torch.zeros(3).double(), 0.5), sigma, alpha)
    covariance = DataCovariance(likelihood, alpha, sigma**2 + 0.5, num_cg=4)
    eye = torch.eye(3, dtype=torch.float64)
    exact = torch.linalg.inv(0.4 * a.mT @ a / 0.25 + eye / (0.49 + 0.5))
    mean = exact @ a.mT @ likelihood.y * 0.4 / 0.25
    steps, errors, scales = np.linspace(0.05, 3, 13), [], []
    for step in steps:

        def move(x: Tensor, draws: UnitDraws, h: float = step) -> Tensor:
            return langevin(x, target, covariance, h, _Common(draws))  # type: ignore[arg-type]

        moved, spread = law_after(move, mean, exact)
        errors.append(max(float((moved - mean).abs().max()), float((spread - exact).abs().max())))
        scales.append(float(torch.trace(spread) / torch.trace(exact)))
    # of (1 - h)^2 + 2 h, a step of the unadjusted rule preconditioned by the same covariance
    plain = (1 - steps) ** 2 + 2 * steps
    curves: dict[str, ArrayLike] = {"exponential move": scales, "Euler-Maruyama move": plain}
    return Reading(
        max(errors),
        0.0,
        1e-12,
        ROUNDING,
        lambda axes: draw_curves(
            axes, steps, np.ones(13), curves, "step h", "variance after a move over exact"
        ),
    )


def _twisted() -> Reading:
    prior, likelihood, runs = *_two_modes(), 12
    guide = DPS(50, guidance_kind="annealed")
    batch = Likelihood(likelihood.operator, likelihood.noise, likelihood.y.expand(runs, 1))
    samples = Twisted(guide).sample(
        batch, prior, 250, generator=derive_generator(0, "twisted-mode-weights")
    )
    right = (samples.log_weights.exp() * (samples.values[..., 0] > 0)).sum(0)
    alone = guide.sample(likelihood, prior, 400, generator=derive_generator(0, "guide-alone"))
    guided = float((alone.values[:, 0] > 0).double().mean())
    exact = _right_mode()
    error = float(right.std()) / runs**0.5
    return Reading(
        float(right.mean()),
        exact,
        4.5 * error + 0.01,
        "4.5 standard errors of 12 runs, and 0.01 for the steps",
        lambda axes: _draw_weights(axes, right, guided, exact),
    )


def _two_modes() -> tuple[GaussianMixturePrior, Likelihood]:
    """Return two modes told apart by the first pixel, and a datum of the second."""
    means = torch.tensor([[-1.0, -0.5], [1.0, 0.5]]).double()
    covariances = 0.04 * torch.eye(2).double().expand(2, 2, 2)
    prior = GaussianMixturePrior(torch.tensor([0.3, 0.7]).double(), means, covariances)
    mask = Mask(torch.tensor([False, True]))
    return prior, Likelihood(mask, GaussianNoise(0.5), torch.tensor([-0.3]).double())


def _right_mode() -> float:
    """Return the weight of the right mode given the datum, from its density in both modes."""
    left, right = (np.exp(-((-0.3 - m) ** 2) / (2 * (0.04 + 0.25))) for m in (-0.5, 0.5))
    return float(0.7 * right / (0.3 * left + 0.7 * right))


def _draw_weights(axes: Axes, right: Tensor, guided: float, exact: float) -> None:
    axes.plot(range(len(right)), right, "o", color=COLORS[0], markersize=4, label="twisted, a run")
    axes.axhline(float(right.mean()), color=COLORS[0], linewidth=1, label="their mean")
    axes.axhline(guided, color=COLORS[1], linewidth=1.3, label="guide alone")
    axes.axhline(exact, color=GREY, linestyle="--", linewidth=1.3, label="exact")
    axes.set(xlabel="run", ylabel="weight of a mode")
    axes.legend(frameon=False, fontsize=7)


FACTS = (
    Fact(
        "ensemble-kernel-invariant",
        "The move that an ensemble makes between weightings leaves a Gaussian as it is with any "
        "step; a plain Langevin move of the same preconditioner inflates it.",
        r"x' = x + (1 - e^{-h}) C \nabla \log Q + \sqrt{1 - e^{-2h}}\, C^{1/2} n: \qquad "
        r"\mathrm{Cov}(x') = C",
        ("chen2025",),
        _kernel,
    ),
    Fact(
        "twisted-mode-weights",
        "Weighted particles put the right mass into two modes although the guidance that moves "
        "them does not.",
        r"\sum_i w_i\, 1[x_i \in \text{mode}] \to P(\text{mode} \mid y)",
        ("wu2023",),
        _twisted,
    ),
)
