"""Filtering posterior sampling: a particle filter along a noisy path of measurements."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors.denoiser import Denoiser
from invdiff.samplers.base import Generators, check_problem
from invdiff.samplers.particle_runs import Guide, ParticleInfo, ParticleRuns, ParticleState
from invdiff.samplers.spectral import SpectralData, spectral_data

__all__ = ["FPS"]


@dataclass(frozen=True)
class FPS(ParticleRuns):
    r"""Filter particles by a measurement that is noised and denoised with them :cite:p:`dou2024`.

    The path of measurements (algorithm 2) ends in y, and the image is seen through it with the
    noise of y at every level:

    .. math:: y_\sigma = y + \sigma A e_\sigma,\qquad
        e_{\sigma'} = \sqrt{1 - c}\, e_\sigma + \sqrt c\, n,\qquad
        y_\sigma = A x_\sigma + \sigma_y n'

    A step from :math:`\sigma` to :math:`\sigma'` has DDIM's mean :math:`m = D + \sqrt{1 - c}\,
    \sigma' (x - D) / \sigma` and variance :math:`b^2 = c \sigma'^2`. Particles are resampled by
    :math:`N(y_{\sigma'};\, A m,\, b^2 A A^H + \sigma_y^2)` and drawn from the product of
    :math:`N(x; m, b^2)` and :math:`N(y_{\sigma'};\, A x,\, \sigma_y^2)`, both in the basis of the
    singular vectors.

    Targets the posterior as the particles of a filter of the whole path, but that path counts the
    data anew at every level: where the noise of y matters the samples are too narrow, the more so
    the more particles there are to choose from and the more steps. Besides, c is noise renewed at
    every step, however small the step, for which D is no conditional mean. With a prior N(0.5,
    0.2^2) on 50 % of the pixels and sigma_y = 0.1, 100 steps and 20 particles give 0.53 (observed)
    and 0.76 (unobserved) of the posterior's standard deviation, 400 steps 0.45 and 0.77.

    Args:
        num_steps: Denoiser calls for each particle.
        sigma_max: Highest noise level, in half data ranges.
        sigma_min: Lowest noise level before 0, in half data ranges.
        rho: Exponent of the grid.
        grid: ``karras``, or ``linear-beta``, the levels of ``linear_beta_sigmas``; then the three
            above are unused.
        betas: First and last beta of that grid.
        num_particles: Particles of each run; published: 5 to 20.
        resampling: How ancestors are drawn; published: ``multinomial``.
        single_run: Return the particles of one run with ``num_samples`` particles, which interact,
            instead of one particle of each of ``num_samples`` independent runs.
        clip: Whether the denoised image is clamped to the data range.
        c_rate: Share of fresh noise c, in (0, 1].

    Raises:
        ValueError: A number out of its range.
    """

    num_particles: int = 20
    clip: bool = True
    c_rate: float = 0.95

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.c_rate <= 1:
            raise ValueError(f"FPS: expected c_rate in (0, 1], got {self.c_rate}")

    def init(
        self,
        likelihood: Likelihood,
        denoiser: Denoiser,
        num_samples: int,
        *,
        generator: Generators,
    ) -> ParticleState:
        """Return particles at the highest level given its measurement; the memory is e."""
        check_problem(likelihood, denoiser)
        data = spectral_data(likelihood, "FPS")
        sigma = self.sigmas(likelihood, denoiser)[0].to(data.level.device)
        source = self._source(generator, num_samples, likelihood)
        error = source.normal(1, data.level.shape, data.y)
        guide = self._guide(data, error, sigma)
        return self._start(likelihood, denoiser, num_samples, source, data, guide, error, sigma)

    def step(
        self,
        state: ParticleState,
        sigma: Tensor,
        sigma_next: Tensor,
        likelihood: Likelihood,
        denoiser: Denoiser,
    ) -> tuple[ParticleState, ParticleInfo]:
        """Go from one noise level to the next, in units of the image; 0 ends without noise."""
        x, data, source = state.x, state.data, state.source
        fresh = source.normal(1, data.level.shape, data.y)
        error = (1 - self.c_rate) ** 0.5 * state.memory + self.c_rate**0.5 * fresh
        # the measurement of the level that the particles go to
        guide = self._guide(data, error, sigma_next)
        variance = self.c_rate * sigma_next**2
        mean = self._proposal(x, sigma, sigma_next, variance, denoiser)
        log_weights = guide.log_prob(data.coordinates(mean), variance)
        always = torch.ones((), dtype=torch.bool, device=x.device)
        mean, state, info = self._resampled(state, mean, log_weights, always)
        noise = source.normal(x.shape[0], likelihood.image_shape, x)
        moved = guide.conditioned(mean, noise, variance, data)
        return state._replace(x=moved, memory=error), info

    def _guide(self, data: SpectralData, error: Tensor, sigma: Tensor) -> Guide:
        return Guide(data.y + sigma.to(data.level) * error, data.level**2)

    def _final_log_weights(
        self,
        state: ParticleState,
        likelihood: Likelihood,
        denoiser: Denoiser,
    ) -> Tensor:
        return state.log_weights
