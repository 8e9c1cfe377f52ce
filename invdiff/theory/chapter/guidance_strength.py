"""How hard guidance pulls, by what is assumed of the clean image given the noisy one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior, half_range
from invdiff.samplers import DPS, PiGDM
from invdiff.samplers.guided import GuidedSampler
from invdiff.theory.chapter.drawing import GREY, draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.guidance_scores import guidance_of
from invdiff.theory.chapter.laws import ROUNDING, likelihood_of, tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

# of the prior and of the noise of the data, on the line
_V, _R = 0.25, 0.01


def _line() -> tuple[GaussianPrior, Likelihood, Tensor]:
    """Return N(0, 1/4), one datum at 0.4 of noise 0.1, and a noisy image."""
    datum = likelihood_of([[1.0]], [0.4], _R**0.5)
    return GaussianPrior(tensor([0.0]), _V), datum, tensor([[-0.3]])


def _left(sigma: float) -> float:
    """Return the variance of x0 given x."""
    return _V * sigma**2 / (_V + sigma**2)


def _exact(sigma: float) -> float:
    """Return the exact guidance at the noisy image of the line."""
    gain = _V / (_V + sigma**2)
    return gain * (0.4 + 0.3 * gain) / (_left(sigma) + _R)


def _strength(name: str, assumed: Callable[[float], float]) -> Reading:
    """Compare the guidance at sigma = 1/2 over the exact one with the assumed spread of y."""
    sigmas = np.geomspace(0.02, 5, 40)
    exact = [(_left(s) + _R) / assumed(s) for s in sigmas]
    found = {name: [_guidance(name, s) / _exact(s) for s in sigmas]}
    return Reading(
        _guidance(name, 0.5) / _exact(0.5),
        (_left(0.5) + _R) / assumed(0.5),
        1e-9,
        ROUNDING,
        lambda axes: _draw_strength(axes, sigmas, exact, found),
    )


def _draw_strength(
    axes: Axes, sigmas: NDArray[np.float64], exact: list[float], found: dict[str, list[float]]
) -> None:
    draw_curves(axes, sigmas, exact, found, "sigma", "guidance over the exact one")
    axes.axhline(1, color=GREY, linestyle="--", linewidth=1)
    axes.set(xscale="log", yscale="log")


def _guidance(name: str, sigma: float) -> float:
    prior, likelihood, x = _line()
    samplers: dict[str, GuidedSampler] = {
        "likelihood at D": DPS(),
        "annealed DPS": DPS(guidance_kind="annealed"),
        "PiGDM of 4 v": PiGDM(prior_std=1 / half_range(prior)),
    }
    score = float(guidance_of(samplers[name], prior, likelihood, x, sigma))
    if name != "likelihood at D":
        return score
    # DPS divides by the norms of the residual and of the operator, both in units of the noise
    return score * (0.4 + 0.3 * _V / (_V + sigma**2)) / _R


def _dps() -> Reading:
    return _strength("likelihood at D", lambda sigma: _R)


def _annealed_dps() -> Reading:
    return _strength("annealed DPS", lambda sigma: sigma**2 + _R)


def _pigdm() -> Reading:
    return _strength("PiGDM of 4 v", lambda sigma: sigma**2 / (sigma**2 + 1) + _R)


FACTS = (
    Fact(
        "dps-drops-covariance",
        "The likelihood of the denoised image, which DPS follows, forgets that the clean image "
        "is still uncertain. On the line at sigma = 0.5 it pulls 13.5 times too hard, which DPS "
        "hides by dividing by the norm of the residual.",
        r"\frac{g_{DPS}}{g} = \frac{\hat S + R}{R}, \qquad "
        r"\hat S = \frac{v \sigma^2}{v + \sigma^2}",
        ("chung2023",),
        _dps,
    ),
    Fact(
        "annealed-dps-too-weak",
        "With the variance of the noise for that of the clean image, guidance is too weak where "
        "the prior is narrower than the noise.",
        r"\frac{g}{g_{exact}} = \frac{\hat S + R}{\sigma^2 + R}",
        ("chung2023",),
        _annealed_dps,
    ),
    Fact(
        "pigdm-assumed-variance",
        "Pseudo-inverse guidance is exact if it knows the variance of the prior; one that is "
        "four times too large weakens it by a known factor.",
        r"\frac{g_{\Pi}}{g} = \frac{\hat S + R}{r^2 + R}, \qquad "
        r"r^2 = \frac{\sigma^2}{\sigma^2 + 1}",
        ("song2023",),
        _pigdm,
    ),
)
