"""Classifier-free guidance: the law that its flow reaches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from invdiff.samplers import karras_sigmas
from invdiff.superres.integrators import UniPC2
from invdiff.theory.chapter.drawing import COLORS, GREY, draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.guidance_labels import (
    GUIDANCE,
    LABEL_MEAN,
    LABEL_VARIANCE,
    tilted,
    two_gaussians,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]


def _reached(weight: float = GUIDANCE) -> tuple[float, float]:
    """Return mean and standard deviation that the flow of the guided score reaches."""
    sigmas = torch.cat([karras_sigmas(120, 200.0, 0.002), torch.zeros(1, dtype=torch.float64)])
    x = torch.tensor([0.0, 200.0], dtype=torch.float64).reshape(-1, 1, 1)
    centre, edge = UniPC2()(two_gaussians(weight), x, sigmas).flatten().tolist()
    return centre, edge - centre


def _reached_std() -> Reading:
    return Reading(
        _reached()[1],
        LABEL_VARIANCE ** (GUIDANCE / 2),
        2e-4,
        "single precision and the solver's error",
        _draw_reached,
    )


def _reached_mean() -> Reading:
    return Reading(
        _reached()[0],
        LABEL_MEAN * (1 + 2 * LABEL_VARIANCE),
        2e-3,
        "single precision and the solver's error",
        _draw_means,
    )


def _draw_means(axes: Axes) -> None:
    weights = np.linspace(1, 4, 7)
    means = {
        "guided flow": [_reached(w)[0] for w in weights],
        "tilted": [tilted(w)[0] for w in weights],
    }
    draw_curves(axes, weights, None, means, "w", "mean")


def _draw_reached(axes: Axes) -> None:
    x, (mean, variance) = np.linspace(-2, 3, 400), tilted()
    reached = _reached()
    laws = {
        "all": (0.0, 1.0, GREY),
        "label": (LABEL_MEAN, LABEL_VARIANCE**0.5, COLORS[2]),
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
