"""What the ODE and the SDEs of one process have in common: the law at every time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.interpolants import ConstantEpsilon, integrate_sde, time_grid
from invdiff.rng import derive_generator
from invdiff.theory.chapter.affine import affine_law
from invdiff.theory.chapter.drawing import COLORS, GREY, draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.flow_based_example import (
    START_MEAN,
    START_VARIANCE,
    log_density,
    shifted_gaussian,
    to_two_modes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_EPSILONS = (0.0, 0.1, 0.5, 2.0)
_NUM_SAMPLES = 4000


def _gaussian() -> Reading:
    process, times = shifted_gaussian(), time_grid(100, 0.0, 1.0)
    laws = {f"epsilon {e}": affine_law(process, e, times) for e in _EPSILONS}
    mean, variance = times, (1 - times) ** 2 + times**2 / 2 + times * (1 - times)
    errors = [
        torch.maximum((m - mean).abs().max(), (v - variance).abs().max()) for m, v in laws.values()
    ]
    return Reading(
        float(torch.stack(errors).max()),
        0.0,
        1e-3,
        "error of second order of 100 Heun steps",
        lambda axes: draw_curves(
            axes,
            times.numpy(),
            variance.numpy(),
            {name: v.numpy() for name, (_, v) in laws.items()},
            "t",
            "variance of x_t",
        ),
    )


def _mixture() -> Reading:
    samples = {f"epsilon {e}": _ends(e) for e in (0.0, 0.5, 2.0)}
    points = torch.linspace(-6, 6, 4001, dtype=torch.float64)
    density = log_density(points, torch.ones_like(points)).exp()
    scores = [
        _z_score(values, statistic, points, density)
        for values in samples.values()
        for statistic in (torch.clone, torch.square, torch.sin, lambda x: (x < 0).double())
    ]
    return Reading(
        max(map(abs, scores)),
        4.5,
        0.0,
        "4.5 standard errors, for each of 4 means and 3 amounts of noise",
        lambda axes: _draw_histograms(axes, samples, points, density),
        "<=",
    )


def _ends(epsilon: float) -> Tensor:
    """Draw x1 by the SDE from draws of x0, ``(samples,)``."""
    process, generator = to_two_modes(), derive_generator(0, "mixture-any-epsilon", str(epsilon))

    def noise() -> Tensor:
        return torch.randn(_NUM_SAMPLES, 1, generator=generator, dtype=torch.float64)

    start = START_MEAN + START_VARIANCE**0.5 * noise()
    times = time_grid(100, 0.0, 1.0)
    amount = ConstantEpsilon(epsilon)
    return integrate_sde(process, start, times, epsilon=amount, noise=noise, method="heun")[:, 0]


def _z_score(
    values: Tensor, statistic: Callable[[Tensor], Tensor], points: Tensor, density: Tensor
) -> float:
    exact = torch.trapezoid(statistic(points) * density, points)
    found = statistic(values)
    return float((found.mean() - exact) / (found.std() / len(found) ** 0.5))


def _draw_histograms(
    axes: Axes, samples: dict[str, Tensor], points: Tensor, density: Tensor
) -> None:
    near = (points > -3.5) & (points < 3.5)
    axes.plot(points[near], density[near], color=GREY, linewidth=4, alpha=0.45, label="exact")
    for color, (name, values) in zip(COLORS, samples.items(), strict=False):
        axes.hist(
            values.numpy(),
            50,
            density=True,
            histtype="step",
            color=color,
            label=name,
            linewidth=1.2,
        )
    axes.set(xlabel="x at t = 1", ylabel="density")
    axes.legend(frameon=False, fontsize=7)


FACTS = (
    Fact(
        "any-epsilon-gaussian-marginals",
        "The ODE and the SDEs of every amount of noise have the same mean and variance at each "
        "time, here between two Gaussians.",
        r"dX = (b + \epsilon s)\, dt + \sqrt{2 \epsilon}\, dW \;\Rightarrow\; "
        r"X_t \sim \rho_t \text{ for all } \epsilon \ge 0",
        ("albergo2023", "song2021"),
        _gaussian,
    ),
    Fact(
        "any-epsilon-mixture-samples",
        "The same for laws that are not Gaussian: samples of the ODE and of two SDEs cannot be "
        "told from the target.",
        r"X_1^{\epsilon} \sim \rho_1 \text{ for all } \epsilon \ge 0",
        ("albergo2023",),
        _mixture,
    ),
)
