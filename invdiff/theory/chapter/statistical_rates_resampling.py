"""What weights cost: resampling noise, and how fast importance weights collapse."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, get_args

import torch
from torch import Tensor

from invdiff.rng import Population, derive_generator
from invdiff.samplers.resampling import Scheme, ancestors, effective_sample_size
from invdiff.theory.chapter.drawing import draw_curves, draw_estimates, draw_pairs
from invdiff.theory.chapter.fact import Fact, Reading

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_RUNS = 2000
_WEIGHTS = (0.34, 0.22, 0.16, 0.11, 0.08, 0.05, 0.03, 0.01)
_DRAWN = 8


def _unbiased() -> Reading:
    exact = _DRAWN * torch.tensor(_WEIGHTS, dtype=torch.float64)
    deviations = {}
    for scheme in get_args(Scheme):
        counts = _counts(scheme)
        error = (exact * (1 - exact / _DRAWN) / _RUNS).sqrt()
        deviations[scheme] = ((counts.mean(0) - exact) / error).numpy()
    places = torch.arange(len(_WEIGHTS))

    def draw(axes: Axes) -> None:
        labels = ("particle", "(mean copies - N w) / error")
        draw_curves(axes, places, torch.zeros(len(_WEIGHTS)), deviations, *labels)
        axes.set_ylim(-5, 7)

    return Reading(
        max(float(abs(d).max()) for d in deviations.values()),
        4.5,
        0.0,
        "the largest of 32 deviations, in standard errors of independent draws",
        draw,
        "<=",
    )


def _variance() -> Reading:
    expected = _DRAWN * torch.tensor(_WEIGHTS, dtype=torch.float64)
    fraction = expected - expected.floor()
    # the number of copies is the floor or one more
    exact: dict[Scheme, Tensor] = {
        "systematic": fraction * (1 - fraction),
        "multinomial": expected * (1 - expected / _DRAWN),
    }
    batches = {scheme: _counts(scheme).reshape(20, -1, len(_WEIGHTS)).var(1) for scheme in exact}
    measured = {scheme: variances.mean(0) for scheme, variances in batches.items()}
    ratio = float(measured["systematic"].sum() / measured["multinomial"].sum())
    totals = [variances.sum(1) for variances in batches.values()]
    error = ratio * math.hypot(*(float(t.std() / t.mean()) / 20**0.5 for t in totals))
    return Reading(
        ratio,
        float(exact["systematic"].sum() / exact["multinomial"].sum()),
        4.5 * error,
        "4.5 standard errors of a ratio of variances",
        lambda axes: draw_pairs(
            axes,
            torch.arange(len(_WEIGHTS)),
            {scheme: (exact[scheme], measured[scheme]) for scheme in exact},
            ("particle", "variance of its copies"),
        ),
    )


def _effective_size() -> Reading:
    strength, count, runs = 0.5, 4000, 40
    dims = torch.arange(1, 7, dtype=torch.float64)
    generator = derive_generator(0, "effective-sample-size")
    x = torch.randn(count, runs, len(dims), generator=generator, dtype=torch.float64)
    # in d dimensions the log weights are normal with variance d strength^2
    sizes = effective_sample_size(strength * (x * dims.sqrt()))
    exact = torch.exp(-dims * strength**2)
    mean, error = sizes.mean(0), sizes.std(0) / runs**0.5
    return Reading(
        float(mean[3]),
        float(exact[3]),
        4.5 * float(error[3]) + 0.002,
        "4.5 standard errors in 4 dimensions, and the bias 1/N of a ratio of means",
        lambda axes: draw_estimates(
            axes,
            dims,
            mean,
            error,
            exact,
            ("dimensions", "effective share of the particles", "exp(-d delta^2)"),
        ),
    )


def _counts(scheme: Scheme) -> Tensor:
    """Return the copies of each particle in many independent draws, (runs, N)."""
    streams = [derive_generator(0, "resampling", scheme, run) for run in range(_RUNS)]
    log_weights = torch.tensor(_WEIGHTS, dtype=torch.float64).log()
    drawn = ancestors(
        log_weights.unsqueeze(1).expand(-1, _RUNS),
        Population(tuple(streams), (_RUNS,)),
        scheme,
        _DRAWN,
    )
    return torch.nn.functional.one_hot(drawn, len(_WEIGHTS)).sum(0).double()


FACTS = (
    Fact(
        "effective-sample-size",
        "If each of d numbers shifts the weights by delta, the share of particles that still "
        "counts falls exponentially with d: weights alone do not reach many dimensions.",
        r"\frac{(E w)^2}{E w^2} = e^{-d \delta^2}, \qquad \log w = \delta \sum_{i=1}^d x_i, "
        r"\quad x \sim N(0, 1)",
        ("agapiou2017",),
        _effective_size,
    ),
    Fact(
        "resampling-unbiased",
        "However ancestors are drawn, a particle of weight w has N w copies on average.",
        r"E[n_k] = N w_k",
        ("douc2005",),
        _unbiased,
    ),
    Fact(
        "resampling-variance",
        "Systematic draws give each particle the number N w rounded down or up, so that its "
        "copies vary by the fraction f only; multinomial draws vary with the whole of N w.",
        r"\mathrm{Var}_{sys}[n_k] = f_k (1 - f_k), \quad f_k = N w_k - \lfloor N w_k \rfloor, "
        r"\qquad \mathrm{Var}_{mult}[n_k] = N w_k (1 - w_k)",
        ("douc2005",),
        _variance,
    ),
)
