"""Make any guided sampler consistent: its score proposes, weights correct what it gets wrong."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import expand_right, inner
from invdiff.priors.denoiser import Denoiser, half_range
from invdiff.rng import Population, population
from invdiff.samplers.base import (
    Callback,
    Generators,
    Progress,
    Samples,
    start_image,
)
from invdiff.samplers.descent import kept_noise
from invdiff.samplers.dps import DPS
from invdiff.samplers.guided import Guidance, GuidedSampler, Scale, problem_scale
from invdiff.samplers.resampling import Scheme, ancestors, effective_sample_size, take

__all__ = ["Twisted", "TwistedInfo", "TwistedState"]

# a kernel of no width has no density: the least mean of the diagonal of the Jacobian
_LEAST_GAIN = 1e-6


class TwistedState(NamedTuple):
    """Particles x0 + sigma n with their guidance; weights and evidence as logarithms, float64."""

    x: Tensor
    guidance: Guidance
    log_weights: Tensor
    log_evidence: Tensor
    source: Population
    scale: Scale


class TwistedInfo(NamedTuple):
    """The share of effective particles before resampling, and where the particles head."""

    ess: Tensor
    corrected: Tensor


class Twisted:
    r"""A guided sampler as the proposal of a particle filter :cite:p:`wu2023`.

    The prior is the chain of its denoiser, with the mean variance :math:`\bar J \sigma^2` of x0
    given x, :math:`\bar J` being the mean of the diagonal of the Jacobian :cite:p:`bao2022`:

    .. math:: p(x' | x) = N\Bigl(D + \tfrac{\sigma'^2}{\sigma^2} (x - D),\; \tfrac{\sigma'^2}
        {\sigma^2} (\sigma^2 - \sigma'^2) + (1 - \tfrac{\sigma'^2}{\sigma^2})^2 \bar J \sigma^2
        \Bigr)

    A particle moves by q, which is p with its mean shifted by :math:`(\sigma^2 - \sigma'^2) g`,
    and, where the operator has a known SVD and the noise one level, narrowed by the curvature of
    the data as for a Gaussian prior. Its weight takes up

    .. math:: \frac{p(x' | x)\, \tilde p(y | x')}{q(x' | x)\, \tilde p(y | x)}

    with the exact likelihood for :math:`\tilde p` in the last step.

    Targets the posterior under that chain, whatever the guidance: samples and evidence converge
    with the number of particles, and the chain's prior to the true one with that of steps. What
    the guide gets wrong costs effective particles, exponentially in the number of data.

    Args:
        guide: DPS with annealed guidance, PiGDM or MomentMatching; its grid of noise levels
            holds, its ``eta`` and ``order`` don't.
        ess_threshold: Resample a problem when its share of effective particles is not above it;
            None: after every step.
        scheme: How ancestors are drawn.

    Raises:
        ValueError: A threshold outside [0, 1], or a guide whose shift is not that of a density.
    """

    def __init__(
        self,
        guide: GuidedSampler,
        *,
        ess_threshold: float | None = 0.5,
        scheme: Scheme = "systematic",
    ) -> None:
        if isinstance(guide, DPS) and guide.guidance_kind == "norm":
            raise ValueError(
                "Twisted: the norm's step of DPS belongs to no density, expected "
                "DPS(guidance_kind='annealed')"
            )
        if ess_threshold is not None and not 0 <= ess_threshold <= 1:
            raise ValueError(f"Twisted: expected an ess_threshold in [0, 1], got {ess_threshold}")
        self.guide, self.ess_threshold, self.scheme = guide, ess_threshold, scheme

    def sample(
        self,
        likelihood: Likelihood,
        denoiser: Denoiser,
        num_samples: int,
        *,
        generator: Generators,
        callback: Callback | None = None,
    ) -> Samples:
        """Draw weighted particles that act on each other.

        Args:
            likelihood: One problem or a batch of them.
            denoiser: Prior in the units of the likelihood's image, differentiable in x.
            num_samples: Particles of each problem.
            generator: One, or one per problem; see ``population``.
            callback: Called after each step.

        Returns:
            ``info`` has ``log_evidence``, log p(y), of shape ``problems``, and ``ess``, the share
            of effective particles before each resampling, ``(num_steps, *problems)``.

        Raises:
            ValueError: The prior doesn't fit the operator, or autograd cannot differentiate it.
        """
        state = self.init(likelihood, denoiser, num_samples, generator=generator)
        sigmas = half_range(denoiser) * self.guide.levels().to(state.x.device)
        num_steps, shares = self.guide.num_steps, []
        for i in range(num_steps):
            if i < num_steps - 1:
                state, info = self.step(state, sigmas[i], sigmas[i + 1], likelihood, denoiser)
            else:
                state, info = self.finish(state, sigmas[i], likelihood)
            shares.append(info.ess)
            if callback is not None:
                misfit = likelihood.residual_over_noise(info.corrected)
                callback(Progress(i, num_steps, sigmas[i], misfit, info.corrected))
        log_evidence = state.log_evidence + state.log_weights.logsumexp(0)
        log_weights = state.log_weights.log_softmax(0).to(state.x.real)
        info_of_run = {"log_evidence": log_evidence, "ess": torch.stack(shares)}
        return Samples(state.x, log_weights, info_of_run)

    def init(
        self, likelihood: Likelihood, denoiser: Denoiser, num_samples: int, *, generator: Generators
    ) -> TwistedState:
        """Draw about a coarse image under noise of the highest level, and weigh as the prior's.

        Raises:
            ValueError: No particles asked for, or a prior that doesn't fit.
        """
        if num_samples < 1:
            raise ValueError(f"num_samples: expected at least 1, got {num_samples}")
        scale = problem_scale(likelihood, denoiser)
        source = population(generator, likelihood.batch_shape)
        centre = start_image(likelihood, denoiser, num_samples)
        shape, num_dims = likelihood.image_shape, len(likelihood.image_shape)
        sigma = scale.half * self.guide.levels()[0].to(centre.device)
        z = source.normal(num_samples, shape, centre)
        x = centre + sigma.to(centre.real) * z
        # the prior's start is about the middle of the range
        offset = (centre - denoiser.data_range[0] - scale.half) / sigma.to(centre.real)
        log_ratio = -inner(offset, z + offset / 2, num_dims).double()
        probe = _signs(x, source, likelihood)
        guidance = self.guide.guidance(x, sigma, likelihood, denoiser, scale, probe)
        equal = torch.zeros_like(guidance.log_twist).log_softmax(0)
        log_weights = equal + log_ratio.reshape(equal.shape) + guidance.log_twist
        empty = torch.zeros_like(equal[0])
        return TwistedState(x, guidance, log_weights, empty, source, scale)

    def step(
        self,
        state: TwistedState,
        sigma: Tensor,
        sigma_next: Tensor,
        likelihood: Likelihood,
        denoiser: Denoiser,
    ) -> tuple[TwistedState, TwistedInfo]:
        """Resample if due, go to the next noise level, which is not 0, and weigh by its twist."""
        ess = effective_sample_size(state.log_weights)
        state = self._resampled(state, ess)
        last = state.guidance
        corrected = last.denoised + (sigma**2).to(last.score.real) * last.score
        x, log_ratio = self._proposed(state, sigma, sigma_next, likelihood)
        probe = _signs(x, state.source, likelihood)
        guidance = self.guide.guidance(x, sigma_next, likelihood, denoiser, state.scale, probe)
        log_weights = state.log_weights + log_ratio + guidance.log_twist - last.log_twist
        state = state._replace(x=x, guidance=guidance, log_weights=log_weights)
        return state, TwistedInfo(ess, corrected)

    def finish(
        self, state: TwistedState, sigma: Tensor, likelihood: Likelihood
    ) -> tuple[TwistedState, TwistedInfo]:
        """Go from the last noise level to the image, and weigh by the exact likelihood."""
        ess = effective_sample_size(state.log_weights)
        state = self._resampled(state, ess)
        x, log_ratio = self._proposed(state, sigma, torch.zeros_like(sigma), likelihood)
        change = log_ratio + likelihood.log_prob(x).double() - state.guidance.log_twist
        state = state._replace(x=x, log_weights=state.log_weights + change)
        return state, TwistedInfo(ess, x)

    def _resampled(self, state: TwistedState, ess: Tensor) -> TwistedState:
        due = torch.ones_like(ess, dtype=torch.bool)
        if self.ess_threshold is not None:
            due = ess <= self.ess_threshold
        # every problem draws at every step, so that none depends on when the others resample
        drawn = ancestors(state.log_weights, state.source, self.scheme)
        total = state.log_weights.logsumexp(0)
        own = torch.arange(len(drawn), device=drawn.device)
        index = torch.where(due, drawn, expand_right(own, due.ndim))
        equal = torch.zeros_like(state.log_weights).log_softmax(0)
        return state._replace(
            x=take(state.x, index),
            guidance=Guidance(*(take(values, index) for values in state.guidance)),
            log_weights=torch.where(due, equal, state.log_weights),
            log_evidence=state.log_evidence + torch.where(due, total, 0.0),
        )

    def _proposed(
        self, state: TwistedState, sigma: Tensor, sigma_next: Tensor, likelihood: Likelihood
    ) -> tuple[Tensor, Tensor]:
        """Draw from q; return it with log p - log q."""
        guidance, num_dims = state.guidance, len(likelihood.image_shape)
        gain = guidance.gain.double().clamp(min=_LEAST_GAIN)
        kept, fresh = kept_noise(sigma, sigma_next, 1.0)
        variance = fresh**2 + (1 - kept) ** 2 * sigma**2 * gain
        z = state.source.normal(len(gain), likelihood.image_shape, state.x)
        narrowed, log_det = _narrowed(z, variance, gain, sigma, sigma_next, likelihood)
        std = expand_right(variance.sqrt(), num_dims).to(z.real)
        # the move from the mean of p, over the deviation of p
        shift = ((1 - kept) * sigma**2).to(std) * guidance.score / std
        u = shift + narrowed
        mean = guidance.denoised + kept.to(std) * (state.x - guidance.denoised)
        z, u = (v.to(torch.promote_types(v.dtype, torch.float64)) for v in (z, u))
        # |z|^2 - |u|^2 without the cancellation of two large sums
        log_ratio = inner(z - u, z + u, num_dims).reshape(gain.shape) / 2 + log_det
        return mean + std * u.to(mean), log_ratio


def _signs(x: Tensor, source: Population, likelihood: Likelihood) -> Tensor:
    """Draw a probe for each particle: fresh ones, whose errors average out over the steps."""
    z = source.normal(x.shape[0], likelihood.image_shape, x)
    return torch.complex(z.real.sign(), z.imag.sign()) if z.is_complex() else z.sign()


def _narrowed(
    z: Tensor,
    variance: Tensor,
    gain: Tensor,
    sigma: Tensor,
    sigma_next: Tensor,
    likelihood: Likelihood,
) -> tuple[Tensor, Tensor]:
    r"""Return C^(1/2) z and log det C^(1/2), with C the covariance of q over the variance of p.

    For a Gaussian prior of variance v the data have the curvature
    :math:`h = j^2 s^2 / (r^2 s^2 + 1 / W)` about x', where :math:`j = v / (v + \sigma'^2)` and
    :math:`r^2 = j \sigma'^2`, and C is 1 / (1 + variance h); v is what the gain at x says.
    """
    operator, precision = likelihood.spectral_operator, likelihood.precision
    if operator is None:
        return z, torch.zeros_like(variance)
    j = gain.clamp(max=1 - _LEAST_GAIN)
    v = j * sigma**2 / (1 - j)
    j_next = v / (v + sigma_next**2)
    s = operator.singular_values.double()
    j_next, variance = (expand_right(t, s.ndim) for t in (j_next, variance))
    curvature = (j_next * s) ** 2 / (j_next * (sigma_next * s) ** 2 + 1 / precision.double())
    shrink = 1 / (1 + variance * curvature)
    coordinates = operator.Vh(z)
    change = operator.V((shrink.sqrt() - 1).to(coordinates.real) * coordinates)
    degrees = 2 if coordinates.is_complex() else 1
    log_det = degrees * shrink.log().flatten(-s.ndim).sum(-1) / 2
    return z + change, log_det
