"""The default ensemble: transport particles, reweight them by the data, rejuvenate."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import NumericalWarning, inner
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
from invdiff.samplers.resampling import Scheme, ancestors, effective_sample_size, take
from invdiff.samplers.tempered_target import (
    TemperedTarget,
    direction_temperatures,
    misfit_energy,
    tempered_energy,
)
from invdiff.samplers.tempering import largest_step
from operators import SVDOperator

__all__ = ["Ensemble", "EnsembleInfo", "EnsembleState", "Tempering"]

Tempering = Literal["noise", "ess", "weights"]


class EnsembleState(NamedTuple):
    """Particles of a noise level with their weights.

    Args:
        x: Particles, shape ``(num_samples, *problems, *image_shape)``.
        log_weights: Not normalised, float64, ``(num_samples, *problems)``.
        log_evidence: What was taken out of the weights at resamplings, ``problems``.
        temperature: alpha of the data at this level, ``problems``.
        squared_norm: Squared norm of W^(1/2) A, ``problems``.
        source: The streams of the problems.
    """

    x: Tensor
    log_weights: Tensor
    log_evidence: Tensor
    temperature: Tensor
    squared_norm: Tensor
    source: Population


class EnsembleInfo(NamedTuple):
    """What a step did, each of shape ``problems``.

    Args:
        effective_sample_size: Of the weights before resampling, from 1/N to 1.
        resampled: Whether the particles were resampled.
        kept: The power of the weights that was used; 1 unless they were tempered.
        accepted: Share of the proposals that Metropolis' rule took; 1 without it.
    """

    effective_sample_size: Tensor
    resampled: Tensor
    kept: Tensor
    accepted: Tensor


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
    the samples rest on the kernel and the evidence means nothing.

    Args:
        num_steps: Noise levels after the first; 2 + ``num_rejuvenations`` network calls each.
        sigma_max: Highest noise level, in half data ranges.
        sigma_min: Lowest noise level, in half data ranges; it stays in the samples.
        rho: Exponent of the grid of noise levels.
        num_rejuvenations: Moves of the kernel at each level.
        rejuvenation_step: h.
        prior_std: Square root of v, in half data ranges: the prior's own spread as the kernel
            sees it.
        tempering: "noise" takes alpha as above; "ess" lets alpha grow more slowly where the
            effective sample size would fall below ``ess_floor``, but to 1 in the last step;
            "weights" flattens the weights instead, by the largest power that keeps it.
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
    prior_std: float = 0.5
    tempering: Tempering = "noise"
    ess_floor: float = 0.25
    resample_below: float = 0.5
    resampling: Scheme = "systematic"
    metropolis: bool = False
    num_cg: int = 20
    temper_directions: bool = True

    def __post_init__(self) -> None:
        karras_sigmas(self.num_steps + 1, self.sigma_max, self.sigma_min, self.rho)
        positive = {
            "rejuvenation_step": self.rejuvenation_step,
            "prior_std": self.prior_std,
            "num_cg": self.num_cg,
        }
        for name, value in positive.items():
            if not value > 0:
                raise ValueError(f"Ensemble: {name} must be positive, got {value}")
        if self.num_rejuvenations < 0:
            raise ValueError(
                f"Ensemble: num_rejuvenations must not be negative, got {self.num_rejuvenations}"
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
            "effective_sample_size", "resampled", "kept" and "accepted".

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
        return _finished(state, infos, likelihood)

    def init(
        self,
        likelihood: Likelihood,
        denoiser: Denoiser,
        num_samples: int,
        *,
        generator: Generators,
    ) -> EnsembleState:
        """Return particles of the prior under noise of the highest level, and their weights."""
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
        alpha = self._temperature(squared_norm, torch.as_tensor(half * self.sigma_max), half)
        like = likelihood.weighted_adjoint
        middle = torch.full_like(like, denoiser.data_range[0] + half).expand(
            num_samples, *like.shape
        )
        variance = torch.as_tensor(half**2 * (self.sigma_max**2 + self.prior_std**2)).to(like.real)
        directions = self._directions(likelihood, alpha, squared_norm)
        if directions is None:
            noise = source.normal(num_samples, likelihood.image_shape, like)
            x = middle + variance.sqrt() * noise
            log_weights = -self._energy(likelihood, x, alpha, squared_norm)
        else:
            given = DataCovariance(likelihood, alpha, variance.double(), self.num_cg, directions)
            x, log_weights = _tilted(likelihood, middle, given, directions, source)
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
        state, size, resampled = self._resampled(state)
        directions = self._directions(likelihood, state.temperature, state.squared_norm)
        target = TemperedTarget(likelihood, denoiser, sigma_next, state.temperature, directions)
        x, accepted = self._rejuvenated(state, target)
        return state._replace(x=x), EnsembleInfo(size, resampled, kept, accepted)

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

    def _resampled(self, state: EnsembleState) -> tuple[EnsembleState, Tensor, Tensor]:
        """Resample the problems whose effective sample size is low."""
        count = len(state.x)
        size = effective_sample_size(state.log_weights)
        chosen = size < self.resample_below
        drawn = ancestors(state.log_weights, state.source, self.resampling)
        stay = torch.arange(count, device=drawn.device).reshape(-1, *(1,) * size.ndim)
        mean = state.log_weights.logsumexp(0) - math.log(count)
        return (
            state._replace(
                x=take(state.x, torch.where(chosen, drawn, stay)),
                log_weights=torch.where(chosen, 0.0, state.log_weights),
                log_evidence=state.log_evidence + torch.where(chosen, mean, 0.0),
            ),
            size,
            chosen,
        )

    def _rejuvenated(self, state: EnsembleState, target: TemperedTarget) -> tuple[Tensor, Tensor]:
        """Move the particles; return also the share of accepted moves."""
        half = half_range(target.denoiser)
        variance = target.sigma.double() ** 2 + (half * self.prior_std) ** 2
        covariance = DataCovariance(
            target.likelihood, state.temperature, variance, self.num_cg, target.directions
        )
        x, accepted = state.x, torch.ones_like(state.temperature)
        for _ in range(self.num_rejuvenations):
            if self.metropolis:
                x, share = metropolis(x, target, covariance, self.rejuvenation_step, state.source)
                accepted = accepted + (share - 1) / self.num_rejuvenations
            else:
                x = langevin(x, target, covariance, self.rejuvenation_step, state.source)
        return x, accepted

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


def _tilted(
    likelihood: Likelihood,
    middle: Tensor,
    covariance: DataCovariance,
    directions: Tensor,
    source: Population,
) -> tuple[Tensor, Tensor]:
    """Draw from the Gaussian of the start times the tempered data; weights are its integral.

    Drawn from the Gaussian alone, one particle would have all the weight from the beginning.
    """
    operator, precision = likelihood.operator, likelihood.precision
    assert isinstance(operator, SVDOperator)  # what has directions has them
    pull = operator.Vh(likelihood.quadratic_score(middle))
    slope = operator.V(directions.to(middle.real) * pull)
    x = middle + covariance.move(slope, math.inf, source)
    spread = covariance.variance * precision.double() * directions * operator.singular_values**2
    num_dims = operator.singular_values.ndim
    degrees = 2 if pull.is_complex() else 1
    log_det = degrees * (1 + spread).log().flatten(-num_dims).sum(-1)
    gain = inner(slope, covariance.apply(slope), len(likelihood.image_shape)).double()
    energy = tempered_energy(likelihood, middle, covariance.temperature, directions)
    return x, (gain.reshape(energy.shape) - log_det) / 2 - energy


def _finished(state: EnsembleState, infos: list[EnsembleInfo], likelihood: Likelihood) -> Samples:
    """Weigh the particles for the exact noise model, and look back on the run."""
    exact = likelihood.log_prob(state.x).double() + misfit_energy(likelihood, state.x)
    log_weights = state.log_weights + exact
    total = log_weights.logsumexp(0)
    history = EnsembleInfo(*(torch.stack(parts) for parts in zip(*infos, strict=True)))
    _warn_of_collapse(history.effective_sample_size, len(state.x))
    evidence = state.log_evidence + total - math.log(len(state.x))
    return Samples(state.x, log_weights - total, {"log_evidence": evidence, **history._asdict()})


def _warn_of_collapse(size: Tensor, count: int) -> None:
    """Warn where fewer than two particles had all the weight; the one look at the numbers."""
    lowest, step = (count * size.reshape(len(size), -1).min(1).values).min(0)
    if count > 1 and float(lowest) < 2:
        warnings.warn(
            f"Ensemble: at step {int(step)} the weights left {float(lowest):.2f} of {count} "
            "particles: use more particles or steps, or tempering",
            NumericalWarning,
            stacklevel=4,
        )


def _transported(denoiser: Denoiser, x: Tensor, sigma: Tensor, sigma_next: Tensor) -> Tensor:
    """Take a Heun step of the probability-flow ODE to a level above 0, without looking at it."""
    real = x.dtype.to_real()
    start, end = sigma.to(real), sigma_next.to(real)
    slope = (x - denoiser(x, start)) / start
    euler = x + (end - start) * slope
    return x + (end - start) * (slope + (euler - denoiser(euler, end)) / end) / 2
