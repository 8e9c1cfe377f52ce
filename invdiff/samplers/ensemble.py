"""The default ensemble: transport particles, reweight them by the data, rejuvenate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors.denoiser import Denoiser, half_range
from invdiff.rng import Population, population
from invdiff.samplers.base import (
    Callback,
    Generators,
    Progress,
    Samples,
    check_problem,
    karras_sigmas,
)
from invdiff.samplers.data_covariance import DataCovariance
from invdiff.samplers.rejuvenation import langevin, metropolis
from invdiff.samplers.resampling import Scheme
from invdiff.samplers.tempered_target import (
    TemperedTarget,
    direction_temperatures,
    tempered_energy,
)
from invdiff.samplers.tempering import largest_step
from invdiff.samplers.weighted_ensemble import (
    EnsembleInfo,
    EnsembleState,
    finished,
    resampled,
)

__all__ = ["Ensemble", "Tempering"]

Tempering = Literal["noise", "ess", "weights"]


@dataclass(frozen=True)
class Ensemble:
    r"""Ensemble of weighted particles: transport, reweight, rejuvenate.

    With :math:`\mu(x) = \tfrac12 \|t - A x\|_W^2`, the particles of noise level t are weighted
    for :math:`Q_t \propto p_t(x)\, e^{-\alpha_t \mu(x)}`. From t to t', the probability-flow ODE
    carries :math:`p_t` to :math:`p_{t'}` (one Heun step), the weights follow exactly,

    .. math:: \log w \mathrel{+}= \alpha_t \mu(x) - \alpha_{t'} \mu(x'), \qquad
        \alpha_t = \frac{1}{1 + \|W^{1/2} A\|^2 (t^2 - t_{min}^2)},

    and after resampling each particle moves by a kernel that leaves :math:`Q_{t'}` invariant
    exactly where it is Gaussian, at any step h:

    .. math:: x \mathrel{+}= (1 - e^{-h})\, C \nabla \log Q_{t'}(x) + \sqrt{1 - e^{-2h}}\,
        C^{1/2} n, \qquad C = \Bigl(\alpha_{t'} A^H W A + \tfrac{1}{t'^2 + v}\Bigr)^{-1}

    The same as an annealed particle system :cite:p:`chen2025` whose weights need no integration:
    neither the square of the gradient nor the Laplacian of the misfit enters.

    Targets p(x | y) of the prior at the lowest noise level, with weights for the exact noise
    model. The bias is that of the Heun steps, of the Gaussian at the start and, for a prior that
    is no Gaussian, of the kernel (``metropolis`` removes the latter); it falls with ``num_steps``.
    The number of particles that the weights need grows with the measurements that say much at
    once: with the many of an image ``tempering="weights"`` keeps the ensemble alive, and then
    the samples rest on the kernel, and the evidence is NaN.

    Args:
        num_steps: Noise levels after the first; 2 + ``num_rejuvenations`` network calls each.
        sigma_max: Highest noise level, in half data ranges.
        sigma_min: Lowest noise level, in half data ranges; it stays in the samples.
        rho: Exponent of the grid of noise levels.
        num_rejuvenations: Moves of the kernel at each level.
        rejuvenation_step: h.
        prior_std: Square root of v, in half data ranges: the spread of the prior within a mode.
            More than it has in any direction makes the kernel overshoot; 0, the default, is safe
            for images, which lie near a surface, and only mixes more slowly.
        tempering: "noise" takes alpha as above; "ess" lets alpha grow more slowly where the
            effective sample size would fall below ``ess_floor``, but to 1 in the last step: few
            steps are too late then; "weights" flattens the weights instead, by the largest power
            that keeps it.
        ess_floor: Of tempering, as a fraction of the particles.
        resample_below: Effective sample size below which particles are resampled, as a fraction.
        resampling: How they are.
        metropolis: Accept or refuse each move, for priors with ``log_prob(x, sigma)``.
        num_cg: Conjugate gradient steps of C, where the SVD of A is not known.
        temper_directions: Whether alpha is that of each singular vector, by its own singular
            value in place of the norm, where the SVD is known.

    Raises:
        ValueError: A number out of its range.
    """

    num_steps: int = 100
    sigma_max: float = 10.0
    sigma_min: float = 0.01
    rho: float = 7.0
    num_rejuvenations: int = 1
    rejuvenation_step: float = 0.5
    prior_std: float = 0.0
    tempering: Tempering = "noise"
    ess_floor: float = 0.25
    resample_below: float = 0.5
    resampling: Scheme = "systematic"
    metropolis: bool = False
    num_cg: int = 20
    temper_directions: bool = True

    def __post_init__(self) -> None:
        karras_sigmas(self.num_steps + 1, self.sigma_max, self.sigma_min, self.rho)
        if not (self.rejuvenation_step > 0 and self.num_cg > 0):
            raise ValueError(
                "Ensemble: rejuvenation_step and num_cg must be positive, got "
                f"{self.rejuvenation_step} and {self.num_cg}"
            )
        if self.num_rejuvenations < 0 or self.prior_std < 0:
            raise ValueError(
                "Ensemble: num_rejuvenations and prior_std must not be negative, got "
                f"{self.num_rejuvenations} and {self.prior_std}"
            )
        if not (0 <= self.ess_floor <= self.resample_below <= 1):
            raise ValueError(
                "Ensemble: expected 0 <= ess_floor <= resample_below <= 1, got "
                f"{self.ess_floor} and {self.resample_below}"
            )
        for name, value, known in (
            ("tempering", self.tempering, get_args(Tempering)),
            ("resampling", self.resampling, get_args(Scheme)),
        ):
            if value not in known:
                raise ValueError(f"Ensemble: {name} must be one of {known}, got {value!r}")

    def sample(
        self,
        likelihood: Likelihood,
        denoiser: Denoiser,
        num_samples: int,
        *,
        generator: Generators,
        callback: Callback | None = None,
    ) -> Samples:
        """Draw one ensemble for each problem, all in one batch.

        Args:
            likelihood: One problem or a batch of them.
            denoiser: Prior in the units of the likelihood's image.
            num_samples: Particles of each problem.
            generator: One, or one per problem; see ``population``.
            callback: Called after each step.

        Returns:
            Weighted particles; ``info`` has "log_evidence" (``problems``; an estimate of log p(y)
            whose exponential is unbiased but for the bias of the particles), and over the steps
            "effective_sample_size", "resampled", "kept" and "accepted" of ``EnsembleInfo``.

        Raises:
            ValueError: The prior doesn't fit the operator, or has no ``log_prob`` to accept by.

        Warns:
            NumericalWarning: In some step fewer than two particles had all the weight.
        """
        state = self.init(likelihood, denoiser, num_samples, generator=generator)
        sigmas, infos = self._levels(denoiser, state.x.device), []
        for i in range(self.num_steps):
            last = i == self.num_steps - 1
            state, info = self.step(
                state, sigmas[i], sigmas[i + 1], likelihood, denoiser, last=last
            )
            infos.append(info)
            if callback is not None:
                misfit = likelihood.residual_over_noise(state.x)
                callback(Progress(i, self.num_steps, sigmas[i + 1], misfit, state.x))
        flattened_to = self.ess_floor if self.tempering == "weights" else None
        return finished(state, infos, likelihood, flattened_to)

    def init(
        self,
        likelihood: Likelihood,
        denoiser: Denoiser,
        num_samples: int,
        *,
        generator: Generators,
    ) -> EnsembleState:
        """Return particles of the prior under noise of the highest level, of equal weight.

        No data count yet, but for those that flattened weights could never take in at once: with
        ``tempering="weights"`` the particles are given the data as far as the highest level goes.
        """
        half = check_problem(likelihood, denoiser)
        if self.metropolis and not hasattr(denoiser, "log_prob"):
            raise ValueError(
                f"Ensemble: metropolis needs a prior with log_prob, {type(denoiser).__name__} "
                "has none"
            )
        source = population(generator, likelihood.batch_shape)
        if num_samples < 1:
            raise ValueError(f"num_samples: expected at least 1, got {num_samples}")
        squared_norm = likelihood.norm().double() ** 2
        alpha = torch.zeros_like(squared_norm)
        sigma = self._levels(denoiser, alpha.device)[0]
        if self.tempering == "weights":
            alpha = self._temperature(squared_norm, sigma, half)
        directions = self._directions(likelihood, alpha, squared_norm)
        target = TemperedTarget(likelihood, denoiser, sigma, alpha, directions)
        x = self._start(target, num_samples, source)
        log_weights = torch.zeros(num_samples, *alpha.shape, dtype=alpha.dtype, device=x.device)
        return EnsembleState(x, log_weights, torch.zeros_like(alpha), alpha, squared_norm, source)

    def step(
        self,
        state: EnsembleState,
        sigma: Tensor,
        sigma_next: Tensor,
        likelihood: Likelihood,
        denoiser: Denoiser,
        *,
        last: bool = False,
    ) -> tuple[EnsembleState, EnsembleInfo]:
        """Go from one noise level to the next, in units of the image; all data count at last."""
        x = _transported(denoiser, state.x, sigma, sigma_next)
        state, kept = self._reweighted(state, x, sigma_next, likelihood, denoiser, last=last)
        state, size, chosen = resampled(state, self.resample_below, self.resampling)
        directions = self._directions(likelihood, state.temperature, state.squared_norm)
        target = TemperedTarget(likelihood, denoiser, sigma_next, state.temperature, directions)
        x, accepted = self._rejuvenated(state, target)
        return state._replace(x=x), EnsembleInfo(size, chosen, kept, accepted)

    def _reweighted(
        self,
        state: EnsembleState,
        x: Tensor,
        sigma: Tensor,
        likelihood: Likelihood,
        denoiser: Denoiser,
        *,
        last: bool,
    ) -> tuple[EnsembleState, Tensor]:
        """Return the transported particles x with their weights, and the power that was kept."""
        norm = state.squared_norm
        before = self._energy(likelihood, state.x, state.temperature, norm)
        alpha = self._temperature(state.squared_norm, sigma, half_range(denoiser))
        kept = torch.ones_like(alpha)
        if last:
            alpha = kept
        elif self.tempering == "ess":
            # alpha never falls: the schedule is the limit, and the start where even that is far
            alpha = largest_step(
                lambda a: state.log_weights + before - self._energy(likelihood, x, a, norm),
                state.temperature,
                alpha,
                self.ess_floor,
            )
        change = before - self._energy(likelihood, x, alpha, norm)
        if self.tempering == "weights":
            kept = largest_step(
                lambda power: state.log_weights + power * change,
                torch.zeros_like(kept),
                kept,
                self.ess_floor,
            )
        log_weights = state.log_weights + kept * change
        return state._replace(x=x, log_weights=log_weights, temperature=alpha), kept

    def _start(self, target: TemperedTarget, count: int, source: Population) -> Tensor:
        """Draw from the Gaussian about the middle of the range, given the data of the target."""
        like, data_range = target.likelihood.weighted_adjoint, target.denoiser.data_range
        middle = torch.full_like(like, sum(data_range) / 2)
        slope = target.data_score(middle)
        # without a limit to h the kernel is a draw from the Gaussian itself
        covariance = self._covariance(target)
        return middle + covariance.move(slope.expand(count, *slope.shape), math.inf, source)

    def _rejuvenated(self, state: EnsembleState, target: TemperedTarget) -> tuple[Tensor, Tensor]:
        """Move the particles; return also the share of accepted moves."""
        covariance = self._covariance(target)
        x, accepted = state.x, torch.ones_like(state.temperature)
        for _ in range(self.num_rejuvenations):
            if self.metropolis:
                x, share = metropolis(x, target, covariance, self.rejuvenation_step, state.source)
                accepted = accepted + (share - 1) / self.num_rejuvenations
            else:
                x = langevin(x, target, covariance, self.rejuvenation_step, state.source)
        return x, accepted

    def _covariance(self, target: TemperedTarget) -> DataCovariance:
        spread = half_range(target.denoiser) * self.prior_std
        variance = target.sigma.double() ** 2 + spread**2
        return DataCovariance(
            target.likelihood, target.temperature, variance, self.num_cg, target.directions
        )

    def _energy(
        self, likelihood: Likelihood, x: Tensor, temperature: Tensor, squared_norm: Tensor
    ) -> Tensor:
        directions = self._directions(likelihood, temperature, squared_norm)
        return tempered_energy(likelihood, x, temperature, directions)

    def _directions(
        self, likelihood: Likelihood, temperature: Tensor, squared_norm: Tensor
    ) -> Tensor | None:
        if not self.temper_directions:
            return None
        return direction_temperatures(likelihood, temperature, squared_norm)

    def _temperature(self, squared_norm: Tensor, sigma: Tensor, half: float) -> Tensor:
        lowest = (half * self.sigma_min) ** 2
        return 1 / (1 + squared_norm * (sigma.double() ** 2 - lowest).clamp(min=0))

    def _levels(self, denoiser: Denoiser, device: torch.device) -> Tensor:
        levels = karras_sigmas(self.num_steps + 1, self.sigma_max, self.sigma_min, self.rho)
        return half_range(denoiser) * levels.to(device)


def _transported(denoiser: Denoiser, x: Tensor, sigma: Tensor, sigma_next: Tensor) -> Tensor:
    """Take a Heun step of the probability-flow ODE to a level above 0, without looking at it."""
    real = x.dtype.to_real()
    start, end = sigma.to(real), sigma_next.to(real)
    slope = (x - denoiser(x, start)) / start
    euler = x + (end - start) * slope
    return x + (end - start) * (slope + (euler - denoiser(euler, end)) / end) / 2
