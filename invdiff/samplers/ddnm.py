"""Denoising diffusion null-space: the range of A from the data, the null space from the prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors.denoiser import Denoiser, half_range
from invdiff.rng import Streams
from invdiff.samplers.base import (
    Callback,
    Generators,
    Samples,
    denoised,
    equal_log_weights,
)
from invdiff.samplers.descent import Descent
from invdiff.samplers.spectral import SpectralData, spectral_data

__all__ = ["DDNM", "DDNMInfo", "DDNMState"]


class DDNMState(NamedTuple):
    """The noisy image x0 + sigma n, and the measurement in the singular basis."""

    x: Tensor
    streams: Streams
    data: SpectralData


class DDNMInfo(NamedTuple):
    """The denoised image of a step, and the same corrected by the data."""

    denoised: Tensor
    corrected: Tensor


@dataclass(frozen=True)
class DDNM(Descent):
    r"""Correct the denoised image in the range of A only :cite:p:`wang2023`.

    .. math:: \hat x_0 = D - \Lambda A^+ (A D - t), \qquad
        x' = \hat x_0 + \Gamma \Bigl(\eta\, n + \sqrt{1 - \eta^2}\, \frac{x - D}{\sigma}\Bigr)

    Diagonal in the basis V: per singular value s, with :math:`\bar\sigma = \sigma_y / s`,

    .. math:: \lambda = \min(1, \sigma' / \bar\sigma), \qquad
        \gamma^2 = \sigma'^2 - \lambda^2 \bar\sigma^2

    so that the noise of the data counts as part of the level (DDNM+); where nothing is observed
    :math:`\gamma = \sigma'`. For :math:`\sigma_y \to 0` these are :math:`\lambda = 1` and
    :math:`\gamma = \sigma'`, which ``noise_free`` sets whatever the noise (DDNM): then A x = t in
    the range of A. The authors' code for the SVD adds the noise otherwise, as ``DDRM`` does.

    Time travel repeats stretches of ``travel_length`` steps, each time from the noise level at
    which the stretch began.

    Targets a restoration, not the posterior. ``noise_free`` puts the data's noise into the image
    and leaves no spread in the range of A. DDNM+ adds no noise there once :math:`\sigma'` is below
    :math:`\bar\sigma`, so that it, too, ends close to the data with hardly any spread. In the null
    space eta is the share of fresh noise of every step, however small. With a prior
    N(0.5, 0.2^2), 50 % of the pixels and sigma_y = 0.1, 100 steps of either give less than 0.001
    (observed) and 0.85 (unobserved) of the posterior's standard deviation.

    Args:
        num_steps: Noise levels, ``travel_repeats`` network calls each.
        sigma_max: Highest noise level, in half data ranges.
        sigma_min: Lowest noise level, in half data ranges.
        rho: Exponent of the grid of noise levels.
        eta: Share of fresh noise, from 0 to 1.
        noise_free: Whether to treat the data as exact.
        travel_length: Steps of a stretch.
        travel_repeats: How often each stretch is run, 1 for no time travel.
        clip: Whether D is clamped to the data range.

    Raises:
        ValueError: A number out of its range.
    """

    num_steps: int = 100
    sigma_max: float = 10.0
    sigma_min: float = 0.01
    rho: float = 7.0
    eta: float = 0.85
    noise_free: bool = False
    travel_length: int = 1
    travel_repeats: int = 1
    clip: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.eta <= 1 and self.travel_length > 0 and self.travel_repeats > 0):
            raise ValueError(
                "DDNM: expected eta from 0 to 1, positive travel_length and travel_repeats, got "
                f"{self.eta}, {self.travel_length}, {self.travel_repeats}"
            )

    def sample(
        self,
        likelihood: Likelihood,
        denoiser: Denoiser,
        num_samples: int,
        *,
        generator: Generators,
        callback: Callback | None = None,
    ) -> Samples:
        """Draw samples of each problem in one batch.

        Args:
            likelihood: One problem or a batch; an operator with a known SVD, noise of one level.
            denoiser: Prior in the units of the likelihood's image.
            num_samples: Samples of each problem.
            generator: One, or one per problem; see ``problem_streams``.
            callback: Called after each step, in the last run of its stretch.

        Raises:
            ValueError: The prior doesn't fit the operator, or that has no SVD or several levels.
        """
        state = self.init(likelihood, denoiser, num_samples, generator=generator)
        sigmas = half_range(denoiser) * self.levels().to(state.x.device)
        for first in range(0, self.num_steps, self.travel_length):
            end = min(first + self.travel_length, self.num_steps)
            for _ in range(self.travel_repeats - 1):
                for i in range(first, end):
                    state, _ = self.step(state, sigmas[i], sigmas[i + 1], likelihood, denoiser)
                state = self._back(state, sigmas[end], sigmas[first])
            for i in range(first, end):
                state, info = self.step(state, sigmas[i], sigmas[i + 1], likelihood, denoiser)
                self._report(i, sigmas[i], info, likelihood, callback)
        return Samples(state.x, equal_log_weights(state.x, state.streams))

    def init(
        self,
        likelihood: Likelihood,
        denoiser: Denoiser,
        num_samples: int,
        *,
        generator: Generators,
    ) -> DDNMState:
        """Return a coarse image under noise of the highest level."""
        data = spectral_data(likelihood, "DDNM")
        return DDNMState(*self._start(likelihood, denoiser, num_samples, generator), data)

    def step(
        self,
        state: DDNMState,
        sigma: Tensor,
        sigma_next: Tensor,
        likelihood: Likelihood,
        denoiser: Denoiser,
    ) -> tuple[DDNMState, DDNMInfo]:
        """Go from one noise level to the next, in units of the image; 0 ends without noise."""
        x, streams, data = state
        mean = denoised(denoiser, x, sigma, clip=self.clip)
        fresh = streams.normal(likelihood.image_shape, x)
        weight, added = self._weights(data.level, sigma_next.to(data.level))
        corrected = data.moved(mean, weight * (data.y - data.coordinates(mean)))
        share = (1 - self.eta**2) ** 0.5
        noise = self.eta * fresh + share * (x - mean) / sigma.to(data.level)
        low = sigma_next.to(data.level)
        moved = data.moved(corrected + low * noise, (added - low) * data.coordinates(noise))
        return state._replace(x=moved), DDNMInfo(mean, corrected)

    def _weights(self, level: Tensor, sigma_next: Tensor) -> tuple[Tensor, Tensor]:
        """Return lambda and gamma of each singular value."""
        if self.noise_free:
            return torch.where(level.isinf(), 0.0, 1.0), sigma_next.expand_as(level)
        weight = (sigma_next / level).clamp(max=1)
        # lambda level is the level itself, or sigma_next where lambda < 1
        taken = torch.where(level.isinf(), 0.0, torch.minimum(level, sigma_next))
        return weight, (sigma_next**2 - taken**2).sqrt()

    def _back(self, state: DDNMState, sigma: Tensor, sigma_before: Tensor) -> DDNMState:
        noise = state.streams.normal(state.x.shape[len(state.streams.batch_shape) :], state.x)
        added = (sigma_before**2 - sigma**2).sqrt().to(state.data.level)
        return state._replace(x=state.x + added * noise)
