"""A flow with a noise level of its own for each slice of a volume."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.priors import AR1VolumePrior
from invdiff.samplers import heun_step, karras_sigmas
from invdiff.theory.chapter.drawing import COLORS, GREY
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.volumes import KnownSlices, PinnedSlices

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_NUM_SLICES, _CORRELATION = 8, 0.8
_KNOWN = {1: 1.5, 5: -1.0}


def _pinned() -> Reading:
    mean, covariance = _law_of_ode(120)
    exact_mean, exact_covariance = _conditional()
    errors = [(mean - exact_mean).abs().max(), (covariance - exact_covariance).abs().max()]
    return Reading(
        float(max(errors)),
        0.0,
        3e-3,
        "error of second order of 120 Heun steps",
        lambda axes: _draw(axes, mean, covariance),
    )


def _law_of_ode(num_steps: int) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of the ODE's volumes, from its answer to each unit of noise."""
    mask, values = torch.zeros(_NUM_SLICES, dtype=torch.bool), torch.zeros(_NUM_SLICES, 1, 1)
    for number, value in _KNOWN.items():
        mask[number], values[number] = True, value
    prior = AR1VolumePrior((_NUM_SLICES, 1, 1), _CORRELATION)
    known = KnownSlices(mask, values.double())
    pinned, sigmas = PinnedSlices(prior, known), karras_sigmas(num_steps, 80.0, 1e-3)
    unit = torch.eye(_NUM_SLICES, dtype=torch.float64)
    noise = torch.cat([torch.zeros_like(unit[:1]), unit])[:, :, None, None]
    # what is left of the mean under the highest noise would be an error of 1%
    x = pinned(torch.zeros_like(noise), sigmas[0]) + sigmas[0] * noise
    for sigma, lower in pairwise([*sigmas, torch.zeros(()).to(sigmas)]):
        x = heun_step(pinned, x, sigma, lower)
    ends = x[:, :, 0, 0]
    moved = ends[1:] - ends[0]
    return ends[0], moved.T @ moved


def _conditional() -> tuple[Tensor, Tensor]:
    """Return mean and covariance of the chain given the known slices, by block elimination."""
    number = torch.arange(_NUM_SLICES, dtype=torch.float64)
    covariance = _CORRELATION ** (number[:, None] - number).abs()
    known = list(_KNOWN)
    gain = covariance[:, known] @ torch.linalg.inv(covariance[known][:, known])
    mean = gain @ torch.tensor(list(_KNOWN.values()), dtype=torch.float64)
    return mean, covariance - gain @ covariance[known]


def _draw(axes: Axes, mean: Tensor, covariance: Tensor) -> None:
    exact_mean, exact_covariance = _conditional()
    number, spread = list(range(_NUM_SLICES)), exact_covariance.diagonal().clamp(min=0).sqrt()
    low, high = exact_mean - spread, exact_mean + spread
    axes.fill_between(number, low.numpy(), high.numpy(), color=GREY, alpha=0.25, label="exact")
    bars = covariance.diagonal().clamp(min=0).sqrt()
    axes.errorbar(
        number, mean.numpy(), bars.numpy(), fmt="o", color=COLORS[0], markersize=4, label="ODE"
    )
    axes.plot(list(_KNOWN), list(_KNOWN.values()), "s", color=COLORS[1], label="pinned")
    axes.set(xlabel="slice", ylabel="mean and spread")
    axes.legend(frameon=False, fontsize=7)


FACTS = (
    Fact(
        "pinned-slices-give-the-conditional-law",
        "If known slices stay at noise 0 while the others come down together, the ODE samples the "
        "rest of the volume from its law given the known slices.",
        r"\frac{dx_i}{d\sigma_i} = \frac{x_i - D(x, \sigma)_i}{\sigma_i}, \; \sigma_j = 0 "
        r"\;\Rightarrow\; x_i \sim p(x_i \mid x_j = v_j)",
        ("liu2024",),
        _pinned,
    ),
)
