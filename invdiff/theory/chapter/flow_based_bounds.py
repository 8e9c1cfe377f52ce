"""What an error of the fields costs: a bound with noise, none without."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.integrate import quad

from invdiff.interpolants import ConstantEpsilon, FieldErrors, FieldProcess, field_errors, time_grid
from invdiff.rng import derive_generator
from invdiff.theory.chapter.affine import affine_law
from invdiff.theory.chapter.drawing import COLORS, draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.flow_based_example import shifted_gaussian

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_DELTA, _EPSILONS = 0.3, (0.1, 0.5, 2.0)


def _kl() -> Reading:
    """Compare the law that the wrong drift samples with that of the equation of its mean."""
    measured, exact = _kl_of_sampler(0.5), _kl_by_quadrature(0.5)
    return Reading(
        measured,
        exact,
        1e-4,
        "error of second order of 100 Heun steps",
        _draw_shift,
    )


def _bound() -> Reading:
    """Give the reading of the noise for which the bound is closest to the divergence."""
    errors = _constant_error()
    pairs = [(_kl_of_sampler(e), errors.drift_bound(ConstantEpsilon(e))) for e in _EPSILONS]
    kl, bound = max(pairs, key=lambda pair: pair[0] / pair[1])
    return Reading(kl, bound, 0.0, "a bound", _draw_bound, "<=")


def _bound_value() -> Reading:
    measured = _constant_error().drift_bound(ConstantEpsilon(0.1))
    return Reading(
        measured,
        _DELTA**2 / (4 * 0.1),
        1e-5,
        "2e-6 of the time is left out at the ends",
        _draw_bound_value,
    )


def _wrong() -> FieldProcess:
    exact = shifted_gaussian()
    return FieldProcess(
        exact.interpolant, b=lambda x, t: exact.velocity(x, t) + _DELTA, s=exact.score
    )


def _constant_error() -> FieldErrors:
    times = time_grid(20, 1e-6, 1 - 1e-6)
    generator = derive_generator(0, "girsanov-bound")
    return field_errors(shifted_gaussian(), _wrong(), times, 100, generator=generator)


def _kl_of_sampler(epsilon: float) -> float:
    """Return KL(target | what the SDE with the wrong drift samples), both Gaussian."""
    mean, variance = affine_law(_wrong(), epsilon, time_grid(100, 0.0, 1.0))
    ratio = 0.5 / float(variance[-1])
    offset = (1 - float(mean[-1])) ** 2 / float(variance[-1])
    return (ratio - 1 - math.log(ratio) + offset) / 2


def _kl_by_quadrature(epsilon: float) -> float:
    r"""Return :math:`e^2 / 2 C_1` with the error e of the mean at t = 1.

    It solves :math:`e' = (C' / 2 - \epsilon) e / C + \delta` with
    :math:`C = ((1 - t)^2 + 1) / 2`.
    """

    def arrived(t: float) -> float:
        shrunk = math.exp(2 * epsilon * math.atan(t - 1))
        return _DELTA * math.sqrt(0.5 / (((1 - t) ** 2 + 1) / 2)) * shrunk

    return float(quad(arrived, 0, 1)[0] ** 2)


def _draw_bound(axes: Axes) -> None:
    epsilons, errors = np.geomspace(0.05, 4, 40), _constant_error()
    bound = [errors.drift_bound(ConstantEpsilon(e)) for e in epsilons]
    axes.loglog(epsilons, bound, "--", color=COLORS[1], label="Girsanov's bound")
    axes.loglog(epsilons, [_kl_by_quadrature(e) for e in epsilons], color=COLORS[0], label="KL")
    axes.plot(
        _EPSILONS, [_kl_of_sampler(e) for e in _EPSILONS], "o", color=COLORS[0], label="sampler"
    )
    axes.set(xlabel="amount of noise epsilon", ylabel="nats")
    axes.legend(frameon=False, fontsize=7)


def _draw_shift(axes: Axes) -> None:
    times = time_grid(100, 0.0, 1.0)
    shifts = {
        f"epsilon {e}": (affine_law(_wrong(), e, times)[0] - times).numpy() for e in _EPSILONS
    }
    no_forgetting = _DELTA * times.numpy()
    draw_curves(axes, times.numpy(), None, shifts, "t", "error of the mean")
    axes.plot(times.numpy(), no_forgetting, ":", color=COLORS[3], linewidth=1, label="delta t")
    axes.legend(frameon=False, fontsize=7)


def _draw_bound_value(axes: Axes) -> None:
    epsilons, errors = np.geomspace(0.05, 4, 12), _constant_error()
    exact = _DELTA**2 / (4 * epsilons)
    measured = [errors.drift_bound(ConstantEpsilon(e)) for e in epsilons]
    draw_curves(axes, epsilons, exact, {"measured errors": measured}, "epsilon", "bound in nats")
    axes.set(xscale="log", yscale="log")


FACTS = (
    Fact(
        "girsanov-kl",
        "A sampler whose drift is off by a constant ends in a Gaussian that is shifted by what the "
        "noise has not made it forget.",
        r"\dot e = \frac{\dot C / 2 - \epsilon}{C} e + \delta, \qquad "
        r"\mathrm{KL} = \frac{e(1)^2}{2 C_1}",
        ("albergo2023",),
        _kl,
    ),
    Fact(
        "girsanov-bound",
        "With noise in the sampler, the divergence of its law from the target is at most the mean "
        "squared error of its drift over four times the noise.",
        r"\mathrm{KL}(\rho_1 \| \hat\rho_1) \le \int_0^1 \frac{1}{4 \epsilon} "
        r"E |\hat b - b + \epsilon (\hat s - s)|^2\, dt",
        ("albergo2023",),
        _bound,
    ),
    Fact(
        "girsanov-bound-constant-error",
        "For a drift that is off by a constant delta, the bound is delta^2 / (4 epsilon).",
        r"\int_0^1 \frac{\delta^2}{4 \epsilon}\, dt = \frac{\delta^2}{4 \epsilon}",
        ("albergo2023",),
        _bound_value,
    ),
)
