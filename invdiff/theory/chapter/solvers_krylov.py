"""Linear systems: conjugate gradients, the power iteration and the proximal step."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import cg_iterates, operator_norm
from invdiff.theory.chapter.drawing import COLORS, GREY, draw_diagonal
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import ROUNDING, normals
from operators import Composition, GaussianNoise, Mask, Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]


def _with_eigenvalues(values: Tensor, key: str) -> Tensor:
    basis, _ = torch.linalg.qr(normals(key, len(values), len(values)))
    return (basis * values) @ basis.mT


def _energy_errors(matrix: Tensor, b: Tensor, count: int) -> NDArray[np.float64]:
    """Return the error of the first iterates in the norm of the matrix, over that of the start."""
    exact = torch.linalg.solve(matrix, b)
    iterates = islice(cg_iterates(lambda v: v @ matrix, b, num_dims=1), count + 1)
    errors = [exact - x for x, _ in iterates]
    norms = torch.stack([(e @ matrix @ e).clamp(min=0).sqrt() for e in errors])
    return (norms / norms[0]).numpy()


def _distinct() -> Reading:
    values = torch.tensor([1.0, 3.0, 10.0, 40.0], dtype=torch.float64).repeat_interleave(10)
    key = "conjugate-gradients-distinct-eigenvalues"
    errors = _energy_errors(_with_eigenvalues(values, key), normals(key + "-b", 40), 7)
    # the error of a solve in double precision, with a margin
    solved = int(np.argmax(errors < 1e-10))
    return Reading(
        solved,
        4,
        0.0,
        "a count of steps until the error is below 1e-10",
        lambda axes: _draw_steps(axes, {"conjugate gradients": errors}, solved),
    )


def _condition_bound() -> Reading:
    values, key = torch.logspace(0, 2, 60, dtype=torch.float64), "conjugate-gradients-bound"
    errors = _energy_errors(_with_eigenvalues(values, key), normals(key + "-b", 60), 40)
    rate = (100**0.5 - 1) / (100**0.5 + 1)
    bound = 2 * rate ** np.arange(41)
    return Reading(
        float((errors / bound)[1:].max()),
        1.0,
        1e-12,
        ROUNDING,
        lambda axes: _draw_steps(axes, {"conjugate gradients": errors, "bound": bound}, None),
        "<=",
    )


def _draw_steps(
    axes: Axes,
    curves: dict[str, NDArray[np.float64]],
    solved: int | None,
    ylabel: str = "error in the norm of M",
) -> None:
    for color, (name, values) in zip(COLORS, curves.items(), strict=False):
        axes.semilogy(np.maximum(values, 1e-17), "o-", color=color, markersize=3, label=name)
    if solved is not None:
        axes.axvline(solved, color=GREY, linestyle="--", linewidth=1, label="distinct eigenvalues")
    axes.set(xlabel="step", ylabel=ylabel)
    axes.legend(frameon=False, fontsize=7)


def _power_iteration() -> Reading:
    values = torch.tensor([4.0, 2.56, 1.2, 0.4], dtype=torch.float64)
    matrix = _with_eigenvalues(values, "power-iteration")
    start, counts = normals("power-iteration-start", 4), range(4, 19)
    norms = [
        operator_norm(lambda v: v @ matrix, start, num_dims=1, num_steps=n).item() for n in counts
    ]
    errors = 2 - np.asarray(norms)
    return Reading(
        float((errors[1:] / errors[:-1])[-1]),
        0.64**2,
        1e-3,
        "the third eigenvalue, whose share falls faster still",
        lambda axes: _draw_steps(axes, {"power iteration": errors}, None, "norm minus estimate"),
    )


def _proximal() -> Reading:
    key, tau, sigma = "proximal-step", 0.7, 0.3
    a, x, y = normals(key, 4, 6), normals(key + "-x", 6), normals(key + "-y", 4)
    # a composition hides the decomposition, so that conjugate gradients are run
    hidden = Composition(Matrix(a), Mask(torch.ones(6, dtype=torch.bool)))
    precision = a.mT @ a / sigma**2 + torch.eye(6, dtype=torch.float64) / tau
    exact = torch.linalg.solve(precision, a.mT @ y / sigma**2 + x / tau)
    found = torch.stack(
        [
            Likelihood(operator, GaussianNoise(sigma), y).proximal(x, tau, tolerance=1e-12)
            for operator in (Matrix(a), hidden)
        ]
    )
    return Reading(
        float((found - exact).abs().max()),
        0.0,
        1e-9,
        "the tolerance of the conjugate gradients",
        lambda axes: draw_diagonal(
            axes, exact.expand(2, 6), found, "posterior mean of N(x, tau)", "proximal step"
        ),
    )


FACTS = (
    Fact(
        "conjugate-gradients-distinct-eigenvalues",
        "Conjugate gradients solve a system exactly in as many steps as the matrix has distinct "
        "eigenvalues, here 4 of a matrix of 40 rows.",
        r"\min_{q(0) = 1,\, \deg q \le k} \max_i |q(\lambda_i)| = 0 \quad \text{for } k "
        r"\text{ distinct } \lambda_i",
        ("hestenes1952",),
        _distinct,
    ),
    Fact(
        "conjugate-gradients-bound",
        "The error of conjugate gradients falls at least as fast as the square root of the "
        "condition number says.",
        r"\|x_k - x\|_M \le 2 \left(\tfrac{\sqrt\kappa - 1}{\sqrt\kappa + 1}\right)^k "
        r"\|x_0 - x\|_M",
        ("bjorck1996",),
        _condition_bound,
    ),
    Fact(
        "power-iteration-rate",
        "The estimate of an operator's norm approaches it from below, each step by the squared "
        "ratio of the two largest eigenvalues.",
        r"\|A\| - \hat a_{k+1} \approx (\lambda_2 / \lambda_1)^2\, (\|A\| - \hat a_k)",
        ("bjorck1996",),
        _power_iteration,
    ),
    Fact(
        "proximal-step",
        "The compromise between an image and the data is the posterior mean if the image is "
        "trusted as a Gaussian of variance tau; with or without a known decomposition.",
        r"\arg\min_z \tfrac12 \|y - A z\|_W^2 + \tfrac{1}{2\tau} \|z - x\|^2 = "
        r"(A^T W A + \tau^{-1})^{-1} (A^T W y + \tau^{-1} x)",
        ("zhu2023",),
        _proximal,
    ),
)
