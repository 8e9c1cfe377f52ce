"""Solvers of SDEs: errors of the law and of the path, both without sampling."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from invdiff.interpolants.diffusion import ConstantEpsilon
from invdiff.interpolants.gammas import NoGamma
from invdiff.interpolants.integrators import time_grid
from invdiff.interpolants.interpolant import TwoSided
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.paths import LinearPath
from invdiff.interpolants.sde import SdeMethod, integrate_sde
from invdiff.priors import GaussianPrior
from invdiff.theory.chapter.affine import UnitDraws
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.orders import order_reading

__all__ = ["FACTS"]

_COUNTS, _EPSILON = (20, 40, 80, 160), 0.5


def _process() -> MixtureProcess:
    """Return the straight path between N(-1, 1) and N(2, 1): variance 1 - 2 t + 2 t^2."""
    ends = [GaussianPrior(torch.tensor([m], dtype=torch.float64), 1.0) for m in (2.0, -1.0)]
    return MixtureProcess(TwoSided(LinearPath(), NoGamma()), *ends)


def _response(count: int, method: SdeMethod) -> tuple[float, NDArray[np.float64]]:
    """Return how the end of a chain depends on its start and on the noise of each step."""
    draws = UnitDraws(count + 2, 2)
    start = torch.zeros(count + 2, 1, dtype=torch.float64)
    start[1] = 1
    end = integrate_sde(
        _process(), start, time_grid(count, 0, 1), epsilon=ConstantEpsilon(_EPSILON),
        noise=lambda: draws.normal((1,), start), method=method,
    )  # fmt: skip
    slopes = (end[1:] - end[0]).flatten().numpy()
    return float(slopes[0]), slopes[1:]


def _weak_error(count: int, method: SdeMethod) -> float:
    of_start, of_noise = _response(count, method)
    # both ends have variance 1
    return abs(float(of_start**2 + (of_noise**2).sum()) - 1)


def _strong_error(count: int) -> float:
    r"""Return the root mean square of the distance to the exact path of the same noise.

    The exact end is Phi(1, 0) x_0 + (2 eps)^(1/2) int Phi(1, s) dW_s, that of the chain the same
    with a constant in place of Phi over each step.
    """
    of_start, of_noise = _response(count, "euler")
    nodes, weights = np.polynomial.legendre.leggauss(4)
    s = (np.arange(count)[:, None] + (nodes + 1) / 2) / count
    exact = np.sqrt(2 * _EPSILON) * _propagator(s)
    gap = (of_noise[:, None] * np.sqrt(count) - exact) ** 2
    start = (of_start - _propagator(np.zeros(1))[0]) ** 2
    return float(np.sqrt(start + (gap * weights).sum() / (2 * count)))


def _propagator(s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the derivative of x_1 in x_s, from the integrals of C' / 2 C and of eps / C."""
    variance = 1 - 2 * s + 2 * s**2
    return np.exp(-_EPSILON * (np.arctan(1.0) - np.arctan(2 * s - 1))) / np.sqrt(variance)


def _weak() -> Reading:
    return order_reading({"variance": ([_weak_error(n, "euler") for n in _COUNTS], 1.0)}, _COUNTS)


def _weak_heun() -> Reading:
    euler, heun = ([_weak_error(n, method) for n in _COUNTS] for method in ("euler", "heun"))
    return order_reading({"Heun": (heun, 2.0), "Euler-Maruyama": (euler, 1.0)}, _COUNTS)


def _strong() -> Reading:
    return order_reading({"one path": ([_strong_error(n) for n in _COUNTS], 1.0)}, _COUNTS)


FACTS = (
    Fact(
        "euler-maruyama-weak-order",
        "The variance that Euler-Maruyama steps reach is off by an error in proportion to the "
        "step: weak order one. It follows exactly from the chain's dependence on each noise.",
        r"|\mathrm{Var}(x_N) - \mathrm{Var}(x_{t=1})| = O(h)",
        ("albergo2023", "kloeden1992"),
        _weak,
    ),
    Fact(
        "euler-maruyama-strong-order",
        "Where the noise does not depend on the state, each single path of Euler-Maruyama is off "
        "by an error in proportion to the step, too: strong order one, not one half.",
        r"\sqrt{E |x_N - x_{t=1}|^2} = O(h)",
        ("kloeden1992",),
        _strong,
    ),
    Fact(
        "stochastic-heun-weak-order",
        "Heun's method with one increment of the noise for both slopes has weak order two, for "
        "two calls a step.",
        r"|\mathrm{Var}(x_N) - \mathrm{Var}(x_{t=1})| = O(h^2)",
        ("kloeden1992",),
        _weak_heun,
    ),
)
