"""The reverse kernels of bridges and diffusions, step by step and at once."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from invdiff.interpolants import Interpolant, SymmetricBetas, bbdm, bridge_kernel
from invdiff.theory.chapter.drawing import GREY, draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import ROUNDING, tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]


class _Law(NamedTuple):
    """Weights of the ends and of the first value in a later mean, and the variance."""

    base: Tensor
    target: Tensor
    current: Tensor
    variance: Tensor


def _composed(interpolant: Interpolant, times: Tensor, eta: float = 1.0) -> list[_Law]:
    """Return the law at every time given the value at the first and both ends."""
    zero, one = times.new_zeros(()), times.new_ones(())
    laws = [_Law(zero, zero, one, zero)]
    for t, end in itertools.pairwise(times):
        k, last = bridge_kernel(interpolant, t, end, eta), laws[-1]
        base, target, current = (k.current * weight for weight in last[:3])
        variance = k.std**2 + k.current**2 * last.variance
        laws.append(_Law(k.base + base, k.target + target, current, variance))
    return laws


def _bbdm_composes() -> Reading:
    scale, times = 0.8, torch.linspace(0.1, 0.95, 30, dtype=torch.float64) ** 1.5
    laws = _composed(bbdm(scale), times)
    start = times[0]
    exact = [
        _Law(tensor(0.0), (t - start) / (1 - start), (1 - t) / (1 - start),
             2 * scale * (t - start) * (1 - t) / (1 - start))
        for t in times
    ]  # fmt: skip
    return Reading(
        _largest_difference(laws, exact), 0.0, 1e-12, ROUNDING,
        lambda axes: _draw_laws(axes, times, exact, laws, "t, in 29 steps"),
    )  # fmt: skip


def _largest_difference(laws: list[_Law], exact: list[_Law]) -> float:
    pairs = zip(laws, exact, strict=True)
    return max(float((torch.stack(a) - torch.stack(b)).abs().max()) for a, b in pairs)


def _draw_laws(axes: Axes, times: Tensor, exact: list[_Law], laws: list[_Law], xlabel: str) -> None:
    names = ("target", "current", "variance")
    # one line with gaps: one entry of the legend
    known = torch.cat([_column(exact, name) for name in names])
    joined = torch.cat([times, torch.full((1,), math.nan, dtype=torch.float64)]).repeat(3)
    axes.plot(joined, known, color=GREY, linewidth=4, alpha=0.45, label="at once")
    measured = {name: _column(laws, name)[:-1] for name in names}
    draw_curves(axes, times, None, measured, xlabel, "weight or variance")


def _column(laws: list[_Law], name: str) -> Tensor:
    return torch.stack([*(getattr(law, name) for law in laws), tensor(math.nan)])


def _i2sb_composes() -> Reading:
    betas = SymmetricBetas(num_steps=40, lowest=0.01, highest=0.2)
    nodes = betas.times()[4:]
    laws = _composed(betas.interpolant(), nodes)
    exact = [_i2sb_posterior(betas, 4, n) for n in range(4, 41)]
    return Reading(
        _largest_difference(laws, exact), 0.0, 1e-12, ROUNDING,
        lambda axes: _draw_laws(axes, nodes, exact, laws, "t, in steps of the betas"),
    )  # fmt: skip


def _i2sb_posterior(betas: SymmetricBetas, start: int, end: int) -> _Law:
    """Return the product of two Gaussians: noise from the clean image, and from here to there."""
    variances = betas.betas().flip(0)
    between, beyond = variances[start:end].sum(), variances[end:].sum()
    total = between + beyond
    return _Law(tensor(0.0), between / total, beyond / total, between * beyond / total)


def _bbdm_without_noise() -> Reading:
    times = torch.linspace(0, 0.95, 20, dtype=torch.float64)
    exact = 2 * times * (1 - times)
    repaired = torch.stack([law.variance for law in _composed(bbdm(), times, 0.0)])
    published = _published_variances(times)
    half = int((exact - 0.5).abs().argmin())
    return Reading(
        float(repaired[half]), float(exact[half]), 1e-12, ROUNDING,
        lambda axes: draw_curves(
            axes, times, exact, {"package, eta = 0": repaired, "published, eta = 0": published},
            "t", "variance given both ends",
        ),
    )  # fmt: skip


def _published_variances(times: Tensor) -> Tensor:
    """Return the variances if the mean gives up the noise of eta = 1, and none is added."""
    v = 2 * times * (1 - times)
    variances = [v[0], v[1]]
    for k in range(1, len(times) - 1):
        removed = 2 * (times[k + 1] - times[k]) * (1 - times[k + 1]) / (1 - times[k])
        variances.append((v[k + 1] - removed) / v[k] * variances[-1])
    return torch.stack(variances)


FACTS = (
    Fact(
        "kernels-of-bbdm-compose",
        "Walking a Brownian bridge in many small steps gives the law of one long step: that of a "
        "Brownian motion which has to arrive at the clean image.",
        r"x_t \mid x_s, x_1 \sim N\Bigl(\frac{(1 - t) x_s + (t - s) x_1}{1 - s},\ "
        r"\frac{2 s_{max} (t - s)(1 - t)}{1 - s}\Bigr)",
        ("li2023",),
        _bbdm_composes,
    ),
    Fact(
        "kernels-of-i2sb-compose",
        "Any number of steps of I2SB is one product of two Gaussians: the noise up to the later "
        "value seen from the clean image, and the noise between the two values.",
        r"x_m \mid x_n, x_1 \sim N\Bigl(\frac{a^2 x_1 + \sigma_m^2 x_n}{a^2 + \sigma_m^2},\ "
        r"\frac{a^2 \sigma_m^2}{a^2 + \sigma_m^2}\Bigr), \quad a^2 = \sigma_n^2 - \sigma_m^2",
        ("liu2023",),
        _i2sb_composes,
    ),
    Fact(
        "bbdm-without-fresh-noise",
        "A bridge sampler without fresh noise has to carry on all the noise it has. As published "
        "it gives up part of it, so that the variance decays; here it stays that of the bridge.",
        r"\mathrm{Var}(x_t \mid x_0, x_1) = 2 s\, t (1 - t) \quad (\eta = 0)",
        ("li2023",),
        _bbdm_without_noise,
    ),
)
