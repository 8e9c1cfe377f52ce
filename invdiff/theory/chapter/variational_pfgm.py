"""The Student t noise of PFGM++, which diffusion is the limit of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.stats import f as f_law
from torch import Tensor

from invdiff.priors import StudentAtoms
from invdiff.priors.pfgm import student_divergence
from invdiff.rng import derive_generator
from invdiff.theory.chapter.drawing import draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.identity import identity_reading
from invdiff.theory.chapter.laws import line, tensor
from invdiff.training import StudentPerturbation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_NUM = 16
# exceeded by the root of n times the distance with a chance of 5e-5
_KOLMOGOROV = 2.3


def _law_of_the_radius() -> Reading:
    dof, count = 4.0, 100000
    images = torch.zeros(count, 1, 4, 4, dtype=torch.float64)
    noise = StudentPerturbation(dof).sample(images, derive_generator(0, "law-of-the-radius"))
    ratio = ((noise**2).flatten(1).sum(1) / _NUM).sort().values.numpy()
    law = f_law.cdf(ratio, _NUM, dof)
    rank = np.arange(count) / count
    distance = max(float((law - rank).max()), float((rank + 1 / count - law).max()))

    def draw(axes: Axes) -> None:
        draw_curves(
            axes, ratio[::100], law[::100], {"draws": rank[::100]}, "|n|^2 / N", "share below"
        )
        axes.set(xscale="log")

    bound = _KOLMOGOROV / math.sqrt(count)
    return Reading(distance, bound, 0.0, "larger with a chance of 5e-5", draw, "<=")


def _divergence_of_the_noise() -> Reading:
    dofs = [4.0, 8.0, 16.0, 64.0, 256.0, 1024.0]
    exact = [_integrated_divergence(dof) for dof in dofs]
    measured = [student_divergence(_NUM, dof) for dof in dofs]
    error = max(abs(a / b - 1) for a, b in zip(measured, exact, strict=True))

    def draw(axes: Axes) -> None:
        limit = [_NUM * (_NUM + 6) / (4 * dof**2) for dof in dofs]
        draw_curves(
            axes, dofs, exact, {"closed form": measured, "N (N + 6) / (4 D^2)": limit},
            "D", "divergence from a Gaussian",
        )  # fmt: skip
        axes.set(xscale="log", yscale="log")

    return Reading(error, 0.0, 1e-8, "rounding, the exact one by quadrature", draw)


def _integrated_divergence(dof: float) -> float:
    """Integrate over the logarithm of the radius, for sigma = 1."""
    u = torch.linspace(-8, 24, 40001, dtype=torch.float64)
    square = (2 * u).exp()
    half = dof / 2
    size = math.lgamma(_NUM / 2 + half) - math.lgamma(half) - _NUM / 2 * math.log(math.pi * dof)
    student = size - (_NUM / 2 + half) * (square / dof).log1p()
    normal = -square / 2 - _NUM / 2 * math.log(2 * math.pi)
    sphere = math.log(2) + _NUM / 2 * math.log(math.pi) - math.lgamma(_NUM / 2)
    mass = (sphere + _NUM * u + student).exp()
    return float(torch.trapezoid(mass * (student - normal), u))


def _limit_of_the_divergence() -> Reading:
    dofs = 10 ** np.linspace(2, 5, 13)
    equal = [student_divergence(_NUM, dof) * 4 * dof**2 / _NUM for dof in dofs]
    matched = [
        (student_divergence(_NUM, dof) + _NUM / 2 * _of_the_scale(dof)) * 4 * dof**2 / _NUM
        for dof in dofs
    ]

    def draw(axes: Axes) -> None:
        curves = {"equal sigma, to N + 6": equal, "equal variance, to N + 2": matched}
        draw_curves(axes, dofs, None, curves, "D", "4 D^2 KL / N")
        axes.set(xscale="log")

    # the error of the limit is of order (N / D) N
    return Reading(matched[-1], _NUM + 2, 5 * _NUM**2 / dofs[-1], "next term in N / D", draw)


def _of_the_scale(dof: float) -> float:
    """Return log v + 1 - v for the variance v = D / (D - 2), without cancellation."""
    excess = 2 / (dof - 2)
    return math.log1p(excess) - excess


def _posterior_of_atoms() -> Reading:
    generator = derive_generator(0, "posterior-of-atoms")
    atoms = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    x = 2 * torch.randn(40, 3, generator=generator, dtype=torch.float64)
    measured = StudentAtoms(atoms, 5.0)(x, tensor(0.7))
    exact = _mixed_posterior(atoms, x, 5.0, 0.7)
    return identity_reading(
        exact,
        measured,
        1e-09,
        ("mean over Gaussian noises", "softmax of Student t"),
        "rounding, the exact one by quadrature",
    )


def _mixed_posterior(atoms: Tensor, x: Tensor, dof: float, sigma: float) -> Tensor:
    """Average over the variance of a Gaussian, inverse gamma, by quadrature in its logarithm."""
    log_tau = line(-8, 24, 2001)
    square = ((x[:, None] - atoms) ** 2).sum(-1)
    precision = (-log_tau).exp() / sigma**2
    log_joint = -log_tau * (dof + 3) / 2 - dof / 2 * (-log_tau).exp()
    weights = (log_joint[:, None] - square / 2 * precision[:, None]).exp().sum(0)
    return weights / weights.sum(1, keepdim=True) @ atoms


FACTS = (
    Fact(
        "law-of-the-radius",
        "The noise of PFGM++ is a Student t: the mean square of an image's noise follows the F "
        "distribution of N and D degrees of freedom.",
        r"|n|^2 / N \sim F(N, D)",
        ("xu2023",),
        _law_of_the_radius,
    ),
    Fact(
        "divergence-of-student-noise",
        "How far the noise of PFGM++ is from Gaussian noise of the same sigma has a closed form in "
        "gamma functions, for every D above 2.",
        r"KL\bigl(t_D \| N(0, 1)\bigr) = \int t_D \ln \frac{t_D}{N(0, 1)}\, dx",
        ("xu2023",),
        _divergence_of_the_noise,
    ),
    Fact(
        "limit-of-student-noise",
        "Far above N, more dimensions make the noise Gaussian with the square of D. At the same "
        "sigma N + 6 counts, at the same variance N + 2.",
        r"KL \approx \frac{N (N + 6)}{4 D^2}, \quad \text{same variance: } "
        r"\frac{N (N + 2)}{4 D^2}",
        ("xu2023",),
        _limit_of_the_divergence,
    ),
    Fact(
        "posterior-of-atoms-under-student-noise",
        "For finitely many images the posterior mean is a softmax with heavy tails, the same as "
        "averaging over Gaussian noises of random variance.",
        r"E[y \mid x] = \sum_i r_i y_i, \quad r_i \propto (\sigma^2 D + |x - y_i|^2)^{-(N + D)/2}",
        ("xu2023",),
        _posterior_of_atoms,
    ),
)
