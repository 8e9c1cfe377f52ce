"""The heavy-tailed noise of PFGM++: its denoiser, and what no longer holds for it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.priors import StudentAtoms, StudentDenoiser
from invdiff.theory.chapter.drawing import draw_curves, draw_order
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import gaussian, points, tensor, two_modes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_SIGMA = 0.8
_WHY = "a trapezoidal rule of Student's density itself"


def _student_denoiser() -> Reading:
    x, y = points(-8, 8, 97), points(-6, 6, 2401)
    law = two_modes()
    prior = law.log_prob(y.unsqueeze(-1))
    weight = (prior + _log_student(x.unsqueeze(-1) - y, 3.0)).softmax(-1)
    exact = (weight * y).sum(-1)
    measured = StudentDenoiser(law, 3.0)(x.unsqueeze(-1), tensor(_SIGMA))[:, 0]
    gaussian = law(x.unsqueeze(-1), tensor(_SIGMA))[:, 0]
    curves = {"Student t, D = 3": measured, "Gaussian noise": gaussian}
    return Reading(
        float((measured - exact).abs().max()), 0.0, 1e-7, _WHY,
        lambda axes: draw_curves(axes, x, exact, curves, "noisy x", "E[x0 | x]"),
    )  # fmt: skip


def _not_tweedie() -> Reading:
    dofs = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]
    x, one = tensor([[2.0]]), tensor([[0.0]])
    gaussians = [_miss(StudentDenoiser(gaussian(0.0, 1.0), dof), x) for dof in dofs]
    atoms = [_miss(StudentAtoms(one, dof), x) for dof in dofs]
    # with a single image at 0 nothing is left to average
    known = [2 * (4 - _SIGMA**2) / (dof * _SIGMA**2 + 4) for dof in dofs]
    measured, exact = gaussians + atoms, [_gap(dof) for dof in dofs] + known

    def draw(axes: Axes) -> None:
        lines = {"images N(0, 1)": (gaussians, -1.0), "a single image": (atoms, -1.0)}
        draw_order(axes, dofs, lines, "D", "x + sigma^2 s - E[x0 | x] at x = 2")

    worst = max(range(len(exact)), key=lambda i: abs(measured[i] - exact[i]))
    return Reading(measured[worst], exact[worst], 1e-7, f"{_WHY}; the farthest of 16", draw)


def _miss(prior: StudentDenoiser | StudentAtoms, x: Tensor) -> float:
    sigma = tensor(_SIGMA)
    return float(x + sigma**2 * prior.score(x, sigma) - prior(x, sigma))


def _gap(dof: float) -> float:
    """Return E[(1 - w) (x - y) | x] at x = 2, where w is what weighs y - x in the score."""
    y = points(-12, 12, 6001)
    off = 2.0 - y
    weight = (-(y**2) / 2 + _log_student(off, dof)).softmax(-1)
    w = (1 + dof) * _SIGMA**2 / (dof * _SIGMA**2 + off**2)
    return float((weight * (1 - w) * off).sum())


def _log_student(off: Tensor, dof: float) -> Tensor:
    size = math.lgamma((1 + dof) / 2) - math.lgamma(dof / 2) - math.log(math.pi * dof) / 2
    square = off**2 / (dof * _SIGMA**2)
    return size - math.log(_SIGMA) - (1 + dof) / 2 * square.log1p()


def _student_density() -> Reading:
    x, y = points(-8, 8, 97), points(-6, 6, 2401)
    density = (two_modes().log_prob(y.unsqueeze(-1)) + _log_student(x.unsqueeze(-1) - y, 3.0)).exp()
    exact = torch.trapezoid(density, y)
    measured = StudentDenoiser(two_modes(), 3.0).log_prob(x.unsqueeze(-1), tensor(_SIGMA)).exp()
    worst = int((measured - exact).abs().argmax())

    def draw(axes: Axes) -> None:
        gaussian = two_modes().log_prob(x.unsqueeze(-1), _SIGMA).exp()
        curves = {"Student t, D = 3": measured, "Gaussian noise": gaussian.clamp(min=1e-12)}
        draw_curves(axes, x, exact, curves, "x", "density under noise")
        axes.set(yscale="log", ylim=(1e-8, 1))

    return Reading(float(measured[worst]), float(exact[worst]), 1e-8, _WHY, draw)


FACTS = (
    Fact(
        "student-noise-density",
        "Student t noise is Gaussian noise of a random level. Its tails reach all of space: no "
        "noisy image is where the model has never been.",
        r"\int p(y)\, t_D(x - y)\, dy = \int p(\tau)\, p_{\sigma \sqrt\tau}(x)\, d\tau, "
        r"\quad \tau \sim \mathrm{InvGamma}(D/2, D/2)",
        ("xu2023",),
        _student_density,
    ),
    Fact(
        "student-noise-denoiser",
        "The denoiser of Student t noise takes far outliers for noise, where that of Gaussian "
        "noise follows them.",
        r"E[y \mid x] \propto \int y\, p(y)\, (D \sigma^2 + |x - y|^2)^{-(N + D)/2}\, dy",
        ("xu2023",),
        _student_denoiser,
    ),
    Fact(
        "student-noise-is-not-tweedie",
        "Under Student t noise x + sigma^2 times the score is not the posterior mean, not "
        "even with a single image; the gap is known and falls as 1 / D.",
        r"x + \sigma^2 \nabla \log p(x) - E[y \mid x] = E[(1 - w) (x - y) \mid x], \quad "
        r"w = \frac{(N + D)\, \sigma^2}{D \sigma^2 + |x - y|^2}",
        ("xu2023",),
        _not_tweedie,
    ),
)
