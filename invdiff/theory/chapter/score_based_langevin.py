"""Langevin dynamics: what a finite step does to the law that it settles in."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.samplers.particle_data import DataTerm, GeneralData, LinearData
from invdiff.theory.chapter.drawing import draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import ROUNDING, likelihood_of, points, tensor

__all__ = ["FACTS"]

# the precision of the law that is sampled
_PRECISION = 4.0


def _target() -> Likelihood:
    """Return the Gaussian of variance 1 / 4 about 0, as the likelihood of a number."""
    return likelihood_of([[1.0]], [0.0], _PRECISION**-0.5)


def _step(data: DataTerm, x: Tensor, h: Tensor, noise: Tensor) -> Tensor:
    return data.langevin(x, torch.zeros_like(x), tensor(1.0), h, noise)


def _stationary(data: DataTerm, h: Tensor) -> Tensor:
    """Run v -> a^2 v + b^2 to its end, the affine step being a x + b n."""
    one, zero = tensor([[1.0]]), tensor([[0.0]])
    kept, added = _step(data, one, h, zero), _step(data, zero, h, one)
    variance = zero
    for _ in range(100):
        variance = kept**2 * variance + added**2
    return variance.squeeze()


def _unadjusted() -> Reading:
    steps = points(0.05, 0.45, 17)
    exact = 1 / (_PRECISION * (1 - steps * _PRECISION / 2))
    found = torch.stack([_stationary(GeneralData(_target()), h) for h in steps])
    worst = int((found - exact).abs().argmax())
    curves = {"recursion": found, "wanted": torch.full_like(steps, 1 / _PRECISION)}
    return Reading(
        float(found[worst]), float(exact[worst]), 1e-12, ROUNDING,
        lambda axes: draw_curves(axes, steps, exact, curves, "step h", "stationary variance"),
    )  # fmt: skip


def _exponential() -> Reading:
    steps = points(0.05, 2.0, 27)
    found = torch.stack([_stationary(LinearData(_target(), 1), h) for h in steps])
    exact = torch.full_like(steps, 1 / _PRECISION)
    stable = torch.where(steps < 0.45, 1 / (_PRECISION * (1 - steps * _PRECISION / 2)), torch.nan)
    curves = {"exact drift": found, "Euler": stable}
    return Reading(
        float((found - exact).abs().max()), 0.0, 1e-12, ROUNDING,
        lambda axes: draw_curves(axes, steps, exact, curves, "step h", "stationary variance"),
    )  # fmt: skip


FACTS = (
    Fact(
        "langevin-stationary-variance",
        "Unadjusted Langevin steps of a Gaussian settle in one that is too wide, by half of step "
        "times precision; above h = 2 / precision they diverge.",
        r"x' = x - h \lambda x + \sqrt{2 h}\, n: \quad "
        r"\mathrm{Var} = \frac{1}{\lambda (1 - h \lambda / 2)}",
        ("roberts1996",),
        _unadjusted,
    ),
    Fact(
        "langevin-exact-drift",
        "Where the drift is linear, its flow and its noise can be integrated exactly, and the law "
        "is kept at any step.",
        r"x' = e^{-\lambda h} x + \sqrt{(1 - e^{-2 \lambda h}) / \lambda}\; n: \quad "
        r"\mathrm{Var} = 1 / \lambda",
        ("roberts1996",),
        _exponential,
    ),
)
