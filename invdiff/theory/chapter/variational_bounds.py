"""The bound of a chain of latent images on the evidence of the data."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from invdiff.interpolants import bridge_kernel
from invdiff.rng import derive_generator
from invdiff.theory.chapter.drawing import draw_curves, draw_order
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import gaussian, tensor
from invdiff.theory.chapter.quadrature import log_normal
from invdiff.theory.chapter.variational_diffusion import DIFFUSION, chain_times

__all__ = ["FACTS"]

_MEAN, _VARIANCE = 0.5, 0.36


class _Levels(NamedTuple):
    """Shares of signal and noise of a chain, from noise to data, and variances of the latents."""

    signal: Tensor
    noise: Tensor
    variance: Tensor


def _levels(times: Tensor) -> _Levels:
    signal, noise = (math.pi / 2 * times).sin(), (math.pi / 2 * times).cos()
    return _Levels(signal, noise, signal**2 * _VARIANCE + noise**2)


def _even_times(num_steps: int) -> Tensor:
    ends = chain_times(200)
    return torch.linspace(float(ends[0]), float(ends[-1]), num_steps + 1, dtype=torch.float64)


def _evidence_lower_bound() -> Reading:
    counts = (5, 10, 20, 40, 80)
    grids = [_even_times(count) for count in counts]
    gaps = [_sampled_gaps(times) for times in grids]
    evidence = float(-(2 * math.pi * math.e * _levels(grids[0]).variance[-1]).log() / 2)
    exact = np.array([float(_prior_gap(times) + _step_gaps(times).sum()) for times in grids])
    measured = np.array([float(gap.mean()) for gap in gaps])
    return Reading(
        measured[3], exact[3], 4.5 * float(gaps[3].std()) / len(gaps[3]) ** 0.5,
        "4.5 standard errors",
        lambda axes: draw_curves(
            axes, counts, evidence - exact,
            {"bound of sampled chains": evidence - measured, "log evidence": [evidence] * 5},
            "steps of the chain", "nats",
        ),
    )  # fmt: skip


def _sampled_gaps(times: Tensor, count: int = 20000) -> Tensor:
    """Return log q(chain) - log p(chain) of the package's reverse kernels, ``(count,)``."""
    prior, generator = gaussian(_MEAN, _VARIANCE), derive_generator(0, "evidence-lower-bound")
    signal, noise, variance = _levels(times)
    x = signal[-1] * _MEAN + variance[-1].sqrt() * _normal(count, generator)
    gap = log_normal(x, signal[-1] * _MEAN, variance[-1])
    for k in range(len(times) - 2, -1, -1):
        share = signal[k] / signal[k + 1]
        noisier = share * x + (1 - share**2).sqrt() * _normal(count, generator)
        gap += log_normal(noisier, share * x, 1 - share**2)
        kernel = bridge_kernel(DIFFUSION, times[k], times[k + 1])
        mean = kernel.mean(noisier, x, prior(noisier / signal[k], noise[k] / signal[k]))
        gap -= log_normal(x, mean, kernel.std**2)
        x = noisier
    return (gap - log_normal(x, tensor(0.0), tensor(1.0))).squeeze(1)


def _normal(count: int, generator: torch.Generator) -> Tensor:
    return torch.randn(count, 1, generator=generator, dtype=torch.float64)


def _prior_gap(times: Tensor) -> Tensor:
    signal, _, variance = _levels(times[:1])
    return ((variance + (signal * _MEAN) ** 2 - 1 - variance.log()) / 2).squeeze()


def _step_gaps(times: Tensor) -> Tensor:
    """Return the mean divergence of each true reverse step from that of DDPM, in closed form."""
    signal, noise, variance = _levels(times)
    added = 1 - (signal[:-1] / signal[1:]) ** 2
    true = variance[1:] * added / variance[:-1]
    assumed = (noise[1:] / noise[:-1]) ** 2 * added
    return (true / assumed - 1 - (true / assumed).log()) / 2


def _gap_falls_with_steps() -> Reading:
    counts = np.array([100, 200, 400, 800, 1600])
    gaps = [_kernel_gap(_even_times(int(count))) for count in counts]
    slope = float(np.polyfit(np.log(counts), np.log(gaps), 1)[0])
    return Reading(
        slope, -1.0, 0.05, "the next term of the expansion in the step",
        lambda axes: draw_order(axes, counts, {"gap of the bound": (gaps, -1)}, "steps"),
    )  # fmt: skip


def _kernel_gap(times: Tensor) -> float:
    """Return the divergence, summed over the steps, of the package's reverse chain."""
    prior, (signal, noise, variance) = gaussian(_MEAN, _VARIANCE), _levels(times)
    share = signal[:-1] / signal[1:]
    true = variance[1:] * (1 - share**2) / variance[:-1]
    kernel = bridge_kernel(DIFFUSION, times[:-1], times[1:])
    gap = tensor(0.0)
    # both means are linear: their square error at one standard deviation, on either side
    for sign in (-1, 1):
        x = (signal * _MEAN + sign * variance.sqrt())[:-1, None]
        denoised = prior(x / signal[:-1, None], noise[:-1] / signal[:-1])
        mean = signal[1:] * _MEAN + sign * share * variance[1:] / variance[:-1].sqrt()
        error = (kernel.mean(x, x, denoised).squeeze(1) - mean) ** 2
        ratio = true / kernel.std**2
        gap = gap + ((ratio - 1 - ratio.log() + error / kernel.std**2) / 4).sum()
    return float(gap)


FACTS = (
    Fact(
        "evidence-lower-bound",
        "The bound of a DDPM falls short of the log evidence by the divergence at the noisy end "
        "plus that of every reverse step. More steps close the gap.",
        r"\log p(x) - \mathrm{ELBO} = KL(q(x_T) \| p(x_T)) + \sum_t "
        r"E\, KL\bigl(q(x_{t-1} \mid x_t) \| p(x_{t-1} \mid x_t)\bigr)",
        ("ho2020", "sohldickstein2015"),
        _evidence_lower_bound,
    ),
    Fact(
        "gap-of-the-bound-falls-with-the-steps",
        "A reverse step is not quite the one that DDPM takes: its variance is larger. The "
        "divergences of all steps together fall as one over their number.",
        r"\sum_t KL_t = O(1 / T)",
        ("ho2020", "sohldickstein2015"),
        _gap_falls_with_steps,
    ),
)
