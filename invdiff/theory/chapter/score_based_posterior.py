"""Posteriors of Gaussians and their mixtures, clean and under noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.priors import GaussianMixturePrior, GaussianPrior
from invdiff.theory.chapter.drawing import COLORS, GREY, draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import ROUNDING, correlated, likelihood_of, points, tensor
from invdiff.theory.chapter.quadrature import SMOOTH, log_normal
from invdiff.theory.diffused import log_evidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_NOISE = 0.4


def _gaussian_posterior() -> Reading:
    prior, a = correlated(), tensor([[1.0, 2.0]])
    likelihood = likelihood_of([[1.0, 2.0]], [1.2], _NOISE)
    posterior = prior.posterior(likelihood)
    precision = torch.linalg.inv(prior.covariances[0])
    covariance = torch.linalg.inv(precision + a.T @ a / _NOISE**2)
    mean = covariance @ (precision @ prior.means[0] + a.T @ likelihood.y / _NOISE**2)
    error = torch.stack([(posterior.means[0] - mean).abs().max(),
                         (posterior.covariances[0] - covariance).abs().max()])  # fmt: skip
    return Reading(
        float(error.max()), 0.0, 1e-12, ROUNDING,
        lambda axes: _draw_ellipses(axes, prior, GaussianPrior(mean, covariance)),
    )  # fmt: skip


def _draw_ellipses(axes: Axes, prior: GaussianPrior, posterior: GaussianPrior) -> None:
    angle = points(0, 2 * math.pi, 200)
    circle = 2 * torch.stack([angle.cos(), angle.sin()])
    for name, law, color in (("prior", prior, GREY), ("posterior", posterior, COLORS[0])):
        root = torch.linalg.cholesky(law.covariances[0])
        x = law.means[0].unsqueeze(1) + root @ circle
        axes.plot(x[0], x[1], color=color, label=f"{name}, 2 sd")
    line = points(-1.5, 3.5, 2)
    axes.plot(line, (1.2 - line) / 2, "--", color=COLORS[1], linewidth=1, label="a x = y")
    axes.set(xlabel="x_1", ylabel="x_2")
    axes.legend(frameon=False, fontsize=7)


def _mixture_weights() -> Reading:
    prior, a = _unequal_modes(), tensor([[1.0, 0.5]])
    likelihood = likelihood_of([[1.0, 0.5]], [0.4], _NOISE)
    found = prior.posterior(likelihood).weights
    spread = (a @ prior.covariances @ a.T)[:, 0, 0] + _NOISE**2
    joint = prior.weights * log_normal(likelihood.y, prior.means @ a[0], spread).exp()
    exact = joint / joint.sum()
    top = int(exact.argmax())
    return Reading(
        float(found[top]), float(exact[top]), 1e-12, ROUNDING,
        lambda axes: _draw_weights(axes, prior.weights, exact, found),
    )  # fmt: skip


def _draw_weights(axes: Axes, prior: Tensor, exact: Tensor, found: Tensor) -> None:
    place = points(0, len(prior) - 1, len(prior)).numpy()
    axes.bar(place - 0.2, prior.numpy(), 0.35, color=GREY, alpha=0.5, label="prior")
    axes.bar(place + 0.2, exact.numpy(), 0.35, color=COLORS[1], label="evidence rule")
    axes.plot(place + 0.2, found, "o", color=COLORS[0], label="package")
    axes.set(xlabel="mode", ylabel="weight", xticks=range(len(prior)), ylim=(0, 0.75))
    axes.legend(frameon=False, fontsize=7)


def _evidence() -> Reading:
    prior, matrix, x = _unequal_modes(), tensor([[1.0, 0.5]]), points(-7, 7, 281)
    grid = torch.stack(torch.meshgrid(x, x, indexing="ij"), -1)
    density, clean = prior.log_prob(grid).exp(), (grid @ matrix.T)[..., 0]
    ys = points(-4, 4, 33)
    exact = torch.stack(
        [
            torch.trapezoid(torch.trapezoid(density * log_normal(clean, y, _NOISE**2).exp(), x), x)
            for y in ys
        ]
    ).log()
    found = tensor(
        [log_evidence(prior, likelihood_of([[1.0, 0.5]], [float(y)], _NOISE)) for y in ys]
    )
    worst = int((found - exact).abs().argmax())
    return Reading(
        float(found[worst]), float(exact[worst]), 1e-9,
        SMOOTH,
        lambda axes: draw_curves(
            axes, ys, exact.exp(), {"closed form": found.exp()}, "measurement y", "p(y)"
        ),
    )  # fmt: skip


def _unequal_modes() -> GaussianMixturePrior:
    """Return modes of different shape: a wide one predicts a measurement less sharply."""
    return GaussianMixturePrior(
        tensor([0.5, 0.3, 0.2]),
        tensor([[-1.5, 0.0], [1.0, 1.0], [0.5, -2.0]]),
        tensor([[[0.3, 0.0], [0.0, 0.3]], [[0.8, 0.3], [0.3, 0.4]], [[0.1, 0.0], [0.0, 0.1]]]),
    )


FACTS = (
    Fact(
        "gaussian-posterior",
        "A Gaussian prior and a linear measurement with Gaussian noise leave a Gaussian, whose "
        "precision is the sum of theirs: the data narrow the prior across the line that they see.",
        r"C' = (C^{-1} + A^T A / s^2)^{-1}, \quad m' = C' (C^{-1} m + A^T y / s^2)",
        ("cardoso2024",),
        _gaussian_posterior,
    ),
    Fact(
        "mixture-posterior-weights",
        "The posterior of a mixture is a mixture, and each mode is weighted anew by how well it "
        "predicted the measurement.",
        r"w'_k \propto w_k\, N(y;\, A m_k,\, A C_k A^T + s^2)",
        ("cardoso2024",),
        _mixture_weights,
    ),
    Fact(
        "mixture-evidence",
        "The probability of a measurement is the integral of prior times likelihood over all "
        "images; for a mixture it is known without an integral.",
        r"p(y) = \int p(x)\, N(y; A x, s^2)\, dx = \sum_k w_k\, N(y;\, A m_k,\, A C_k A^T + s^2)",
        ("cardoso2024",),
        _evidence,
    ),
)
