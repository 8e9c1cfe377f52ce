"""Filling in what was not measured: by overwriting, by pinning, and within the null space."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors import AR1VolumePrior, GaussianPrior
from invdiff.rng import derive_generator
from invdiff.samplers import DDNM, heun_step, karras_sigmas
from invdiff.samplers.descent import kept_noise
from invdiff.theory.chapter.drawing import COLORS, GREY, draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.identity import identity_reading
from invdiff.theory.chapter.laws import tensor
from invdiff.volumes import KnownSlices, PinnedSlices
from operators import GaussianNoise, Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_CORRELATIONS = np.asarray([0.1, 0.3, 0.5, 0.65, 0.8, 0.9, 0.95])
_NUM_SLICES, _CORRELATION = 8, 0.8
_KNOWN = {1: 1.5, 5: -1.0}


def _replacement() -> Reading:
    rho = _CORRELATIONS
    means, exact = [_filled_in(r) for r in rho], (1 - np.sqrt(1 - rho**2)) / rho
    curves: dict[str, ArrayLike] = {"replacement": means, "conditional mean": rho}
    return Reading(
        means[4],
        float(exact[4]),
        0.01,
        "an error in proportion to the step, of 300 steps",
        lambda axes: draw_curves(
            axes, rho, exact, curves, "correlation", "mean next to a pixel at 1"
        ),
    )


def _filled_in(rho: float) -> float:
    """Return the mean of a pixel beside a known one, at 1, that is replaced at every step."""
    prior = GaussianPrior(tensor([0.0, 0.0]), tensor([1.0, rho, rho, 1.0]).reshape(2, 2))
    mean = tensor([0.0])
    for sigma, following in pairwise(karras_sigmas(301, 100.0, 1e-3)):
        # every step is affine, so that the mean of the noise gives the mean of the next state
        x = torch.cat([mean, tensor([1.0])])
        kept, _ = kept_noise(sigma, following, 1.0)
        denoised = prior(x, sigma)
        mean = (denoised + kept * (x - denoised))[:1]
    return float(mean)


def _pinned() -> Reading:
    mean, covariance = _law_of_ode(120)
    exact_mean, exact_covariance = _conditional()
    errors = [(mean - exact_mean).abs().max(), (covariance - exact_covariance).abs().max()]
    return Reading(
        float(max(errors)),
        0.0,
        3e-3,
        "error of second order of 120 Heun steps",
        lambda axes: _draw_pinned(axes, mean, covariance),
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


def _draw_pinned(axes: Axes, mean: Tensor, covariance: Tensor) -> None:
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


def _range() -> Reading:
    generator = derive_generator(0, "ddnm-range")
    a, truth = (torch.randn(*n, generator=generator, dtype=torch.float64) for n in ((3, 6), (6,)))
    likelihood = Likelihood(Matrix(a), GaussianNoise(0.1), a @ truth)
    prior = GaussianPrior(torch.zeros(6, dtype=torch.float64), 1.0)
    sampler = DDNM(20, noise_free=True, clip=False)
    x = sampler.sample(likelihood, prior, 8, generator=generator).values
    found, exact = likelihood.operator(x), likelihood.y.expand(8, 3)
    return identity_reading(exact, found, 1e-09, ("y", "A x of 8 samples"))


FACTS = (
    Fact(
        "replacement-biased",
        "Filling in by overwriting the known pixels with noisy data at every step does not "
        "sample the conditional law: next to a known 1, correlated by 0.8, the mean is 0.5 "
        "instead of 0.8.",
        r"E[x_1] = \frac{1 - \sqrt{1 - \rho^2}}{\rho}\, x_2 \ne \rho\, x_2",
        ("song2021", "wu2023"),
        _replacement,
    ),
    Fact(
        "pinned-slices-conditional",
        "If known slices stay at noise 0 while the others come down together, the ODE samples the "
        "rest of the volume from its law given the known slices.",
        r"\frac{dx_i}{d\sigma_i} = \frac{x_i - D(x, \sigma)_i}{\sigma_i}, \; \sigma_j = 0 "
        r"\;\Rightarrow\; x_i \sim p(x_i \mid x_j = v_j)",
        ("liu2024",),
        _pinned,
    ),
    Fact(
        "ddnm-range",
        "DDNM puts the data into the range of A exactly, and leaves the null space to the prior.",
        r"x = A^+ y + (1 - A^+ A) D \implies A x = y",
        ("wang2023",),
        _range,
    ),
)
