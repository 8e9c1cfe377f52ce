"""One quantity under many names: clean image, noise, score, velocity."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from invdiff.interpolants import conversions
from invdiff.interpolants.interpolant import Interpolant, OneSided
from invdiff.interpolants.paths import TrigonometricPath
from invdiff.priors import (
    EDM,
    ContinuousVP,
    EDMVarianceExploding,
    FlowMatching,
    ScoreVE,
    VariancePreserving,
)
from invdiff.priors.preconditioning import Network, Preconditioning
from invdiff.theory.chapter.drawing import draw_bars
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import ROUNDING, normals, points

__all__ = ["FACTS"]

_MEAN, _VARIANCE = 0.4, 1.7
_LIMIT = 1e-10


def _networks() -> Reading:
    """Give each preconditioning a network that is right, and compare what it makes of it."""
    sigma = torch.logspace(-1, 1, 24, dtype=torch.float64).reshape(-1, 1, 1, 1)
    x = 2 * normals("parametrisations", 24, 1, 1, 1)
    exact, noise = _clean(x, sigma), (x - _clean(x, sigma)) / sigma
    scale = (1 + sigma**2).rsqrt()
    table = tuple(torch.logspace(-2, 2, 50, dtype=torch.float64).tolist())
    total = sigma**2 + 0.25
    residual = (exact - 0.25 / total * x) * total.sqrt() / (0.5 * sigma)
    cases: dict[str, tuple[Preconditioning, Tensor]] = {
        "clean image": (VariancePreserving(table, "sample"), exact),
        "noise": (VariancePreserving(table, "epsilon"), noise),
        "v, an angle": (
            VariancePreserving(table, "v_prediction"), scale * noise - scale * sigma * exact
        ),
        "score": (ScoreVE(), -noise / sigma),
        "noise in VP time": (ContinuousVP(), noise),
        "EDM": (EDM(0.5), residual),
        "EDM, VE": (EDMVarianceExploding(), -noise),
        "flow": (FlowMatching(), noise - exact),
    }  # fmt: skip
    errors = [
        float((case.denoise(_always(output), x, sigma) - exact).abs().max())
        for case, output in cases.values()
    ]
    return Reading(
        max(errors), 0.0, _LIMIT, ROUNDING,
        lambda axes: draw_bars(axes, list(cases), errors, "largest error of D", _LIMIT),
    )  # fmt: skip


def _fields() -> Reading:
    names, errors = [], []
    for name, interpolant in (("line", OneSided()), ("circle", OneSided(TrigonometricPath()))):
        found = _conversion_errors(interpolant)
        names += [f"{name}: {key}" for key in found]
        errors += list(found.values())
    return Reading(
        max(errors), 0.0, _LIMIT, ROUNDING,
        lambda axes: draw_bars(axes, names, errors, "largest error", _LIMIT),
    )  # fmt: skip


def _conversion_errors(interpolant: Interpolant) -> dict[str, float]:
    t, x = points(0.02, 0.98, 49), 2 * normals("fields", 49, 1)
    a, b, a_dot, b_dot = _path(interpolant, t)
    variance, offset = a**2 + b**2 * _VARIANCE, x[:, 0] - b * _MEAN
    score = -(offset / variance).unsqueeze(1)
    eta = -a.unsqueeze(1) * score
    target = (_MEAN + b * _VARIANCE * offset / variance).unsqueeze(1)
    velocity = b_dot.unsqueeze(1) * target + a_dot.unsqueeze(1) * eta
    found = {
        "b from noise": conversions.one_sided_velocity(interpolant, x, eta, t) - velocity,
        "b from score": conversions.one_sided_velocity_from_score(interpolant, x, score, t)
        - velocity,
        "noise from b": conversions.one_sided_noise(interpolant, x, velocity, t) - eta,
        "clean from b": conversions.one_sided_target(interpolant, x, velocity, t) - target,
        "score from noise": conversions.score_from_noise(interpolant, eta, t) - score,
    }
    return {name: float(error.abs().max()) for name, error in found.items()}


def _path(interpolant: Interpolant, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a, b and their derivatives as they are in the literature."""
    if isinstance(interpolant, OneSided) and isinstance(interpolant.path, TrigonometricPath):
        angle, turn = math.pi / 2 * t, math.pi / 2
        return angle.cos(), angle.sin(), -turn * angle.sin(), turn * angle.cos()
    return 1 - t, t, -torch.ones_like(t), torch.ones_like(t)


def _clean(x: Tensor, sigma: Tensor) -> Tensor:
    return _MEAN + _VARIANCE / (_VARIANCE + sigma**2) * (x - _MEAN)


def _always(output: Tensor) -> Network:
    """Return a network that gives this output, whatever it is asked."""
    answer: Callable[[Tensor, Tensor], Tensor] = lambda x, label: output  # noqa: E731
    return answer


FACTS = (
    Fact(
        "parametrisations-of-networks",
        "Networks that predict the clean image, the noise, the score, v or the flow say the same: "
        "each prediction is an affine function of the denoiser, with factors of sigma alone.",
        r"D = x - \sigma \epsilon = x + \sigma^2 s = c^2 x - c\, \sigma v = (1 - t)\, x - t\, u, "
        r"\quad c = (1 + \sigma^2)^{-1/2}, \; t = \tfrac{\sigma}{1 + \sigma}",
        ("karras2022", "salimans2022", "lipman2023"),
        _networks,
    ),
    Fact(
        "parametrisations-of-flows",
        "Along a path from noise to data, any one of velocity, score, noise and clean image gives "
        "the others.",
        r"x = b\, E[x_1 | x] + a \eta, \quad u = b' E[x_1 | x] + a' \eta, \quad s = -\eta / a",
        ("albergo2023",),
        _fields,
    ),
)
