"""Independent runs of sequential Monte Carlo whose proposals take in data of the SVD basis."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors.denoiser import Denoiser, half_range
from invdiff.rng import Population, problem_streams
from invdiff.samplers.base import (
    Callback,
    Generators,
    Progress,
    Samples,
    denoised,
    karras_sigmas,
)
from invdiff.samplers.resampling import Scheme, ancestors, effective_sample_size, take
from invdiff.samplers.spectral import SpectralData
from invdiff.samplers.vp_grid import linear_beta_sigmas

__all__ = ["Guide", "ParticleInfo", "ParticleRuns", "ParticleState"]


class Guide(NamedTuple):
    """What is known of the noisy image at a level: coordinates ~ N(centre, variance).

    Args:
        centre: Shape ``(*problems, *singular_values.shape)``, with leading axes for runs or not.
        variance: Shape ``singular_values.shape``; infinite where nothing is known.
    """

    centre: Tensor
    variance: Tensor

    def log_prob(self, coordinates: Tensor, added: Tensor | float = 0.0) -> Tensor:
        """Return log N(centre; coordinates, variance + added), summed over the known; float64."""
        known = self.variance.isfinite()
        variance = torch.where(known, self.variance + added, 1.0).double()
        offset = coordinates - self.centre
        squared = offset.real**2 + offset.imag**2 if offset.is_complex() else offset**2
        degrees = 2 if offset.is_complex() else 1
        terms = squared / variance + degrees * (2 * math.pi * variance).log()
        axes = tuple(range(-self.variance.ndim, 0))
        return -torch.where(known, terms, 0.0).sum(axes) / 2

    def conditioned(self, mean: Tensor, noise: Tensor, added: Tensor, data: SpectralData) -> Tensor:
        """Draw from the product of N(mean, added) and of this, by the given standard normals."""
        gain = torch.where(self.variance.isfinite(), added / (self.variance + added), 0.0)
        lead = gain * (self.centre - data.coordinates(mean))
        # the noise stays as it is where nothing is known
        narrower = ((1 - gain).sqrt() - 1) * added.sqrt() * data.coordinates(noise)
        return data.moved(mean + added.sqrt() * noise, (lead + narrower).to(mean.dtype))


class ParticleState(NamedTuple):
    """Particles of all runs.

    Args:
        x: The noisy images x0 + sigma n, ``(num_particles, runs, *problems, *image_shape)``.
        log_weights: Of what was not resampled since, float64, ``(num_particles, runs, *problems)``.
        log_evidence: Sum of the logs of the mean weights, float64, ``(runs, *problems)``.
        source: One stream per run and problem.
        data: The measurement in the singular basis.
        memory: What the method keeps besides.
    """

    x: Tensor
    log_weights: Tensor
    log_evidence: Tensor
    source: Population
    data: SpectralData
    memory: Tensor


class ParticleInfo(NamedTuple):
    """The share of effective particles before they were resampled, ``(runs, *problems)``."""

    effective: Tensor


@dataclass(frozen=True)
class ParticleRuns(abc.ABC):
    """The loop of both methods: propose by DDIM, weigh, resample, take the data in."""

    num_steps: int = 100
    sigma_max: float = 10.0
    sigma_min: float = 0.01
    rho: float = 7.0
    grid: Literal["karras", "linear-beta"] = "karras"
    betas: tuple[float, float] = (1e-4, 0.02)
    num_particles: int = 32
    resampling: Scheme = "multinomial"
    single_run: bool = False
    clip: bool = False

    def __post_init__(self) -> None:
        self._levels()
        if self.num_particles < 1:
            name = type(self).__name__
            raise ValueError(f"{name}: num_particles must be positive, got {self.num_particles}")

    @abc.abstractmethod
    def init(
        self,
        likelihood: Likelihood,
        denoiser: Denoiser,
        num_samples: int,
        *,
        generator: Generators,
    ) -> ParticleState:
        """Return the particles at the highest level."""

    @abc.abstractmethod
    def step(
        self,
        state: ParticleState,
        sigma: Tensor,
        sigma_next: Tensor,
        likelihood: Likelihood,
        denoiser: Denoiser,
    ) -> tuple[ParticleState, ParticleInfo]:
        """Go from one noise level to the next, in units of the image; 0 ends without noise."""

    @abc.abstractmethod
    def _final_log_weights(
        self, state: ParticleState, likelihood: Likelihood, denoiser: Denoiser
    ) -> Tensor:
        """Return the log weights of the noise-free particles."""

    def sigmas(self, likelihood: Likelihood, denoiser: Denoiser) -> Tensor:
        """Return all noise levels in units of the image, the last one 0; float64, on the CPU."""
        levels = self._levels()
        return half_range(denoiser) * torch.cat([levels, levels.new_zeros(1)])

    def sample(
        self,
        likelihood: Likelihood,
        denoiser: Denoiser,
        num_samples: int,
        *,
        generator: Generators,
        callback: Callback | None = None,
    ) -> Samples:
        """Draw one particle from each of ``num_samples`` runs, or return all of a single run.

        Args:
            likelihood: One problem or a batch; an operator with a known SVD, noise of one level.
            denoiser: Prior in the units of the likelihood's image; it gets all particles of all
                runs in one call.
            num_samples: Runs for each problem, or particles if there is a single run.
            generator: One, or one per problem; see ``problem_streams``.
            callback: Called after each step; before the last it sees the first particle of a run.

        Raises:
            ValueError: The prior doesn't fit the operator, or that has no SVD or several levels.
        """
        state = self.init(likelihood, denoiser, num_samples, generator=generator)
        sigmas = self.sigmas(likelihood, denoiser).to(state.x.device)
        for i in range(self.num_steps):
            state, _ = self.step(state, sigmas[i], sigmas[i + 1], likelihood, denoiser)
            if callback is not None and i < self.num_steps - 1:
                self._report(callback, i, sigmas[i], likelihood, self._first(state))
        log_weights = self._final_log_weights(state, likelihood, denoiser)
        samples = self._drawn(state, log_weights)
        if callback is not None:
            self._report(callback, self.num_steps - 1, sigmas[-2], likelihood, samples.values)
        return samples

    def _levels(self) -> Tensor:
        if self.grid == "linear-beta":
            return linear_beta_sigmas(self.num_steps, *self.betas)
        if self.grid != "karras":
            raise ValueError(f"grid: expected karras or linear-beta, got {self.grid!r}")
        return karras_sigmas(self.num_steps, self.sigma_max, self.sigma_min, self.rho)

    def _source(
        self, generator: Generators, num_samples: int, likelihood: Likelihood
    ) -> Population:
        runs = min(num_samples, 1) if self.single_run else num_samples
        streams = problem_streams(generator, runs, likelihood.batch_shape)
        return Population(streams.generators, streams.batch_shape)

    def _start(
        self,
        likelihood: Likelihood,
        denoiser: Denoiser,
        num_samples: int,
        source: Population,
        data: SpectralData,
        guide: Guide,
        memory: Tensor,
        sigma: Tensor,
    ) -> ParticleState:
        """Draw from the Gaussian of the highest level, given what the guide knows of it."""
        count = num_samples if self.single_run else self.num_particles
        noise = source.normal(count, likelihood.image_shape, likelihood.weighted_adjoint)
        middle = torch.full_like(noise, sum(denoiser.data_range) / 2)
        evidence = guide.log_prob(data.coordinates(middle), sigma**2)[0]
        weights = torch.zeros((count, *source.problem_shape), dtype=torch.float64).to(noise.device)
        x = guide.conditioned(middle, noise, sigma**2, data)
        return ParticleState(x, weights, evidence, source, data, memory)

    def _proposal(
        self, x: Tensor, sigma: Tensor, sigma_next: Tensor, variance: Tensor, denoiser: Denoiser
    ) -> Tensor:
        """Return the mean of DDIM, whose noise has the given variance."""
        mean = denoised(denoiser, x, sigma, clip=self.clip)
        kept = (sigma_next**2 - variance).clamp(min=0).sqrt() / sigma
        return mean + kept * (x - mean)

    def _resampled(
        self, state: ParticleState, mean: Tensor, log_weights: Tensor, gate: Tensor
    ) -> tuple[Tensor, ParticleState, ParticleInfo]:
        """Draw the ancestors of the next particles where the gate, 0-dimensional, is open."""
        count = log_weights.shape[0]
        own = torch.arange(count, device=gate.device).reshape(-1, *(1,) * (log_weights.ndim - 1))
        drawn = ancestors(log_weights, state.source, self.resampling)
        index = torch.where(gate, drawn, own)
        average = log_weights.logsumexp(0) - math.log(count)
        weighed = state._replace(
            log_weights=torch.where(gate, 0.0, log_weights),
            log_evidence=state.log_evidence + torch.where(gate, average, 0.0),
        )
        return take(mean, index), weighed, ParticleInfo(effective_sample_size(log_weights))

    def _first(self, state: ParticleState) -> Tensor:
        return state.x[:, 0] if self.single_run else state.x[0]

    def _report(
        self, callback: Callback, step: int, sigma: Tensor, likelihood: Likelihood, x: Tensor
    ) -> None:
        misfit = likelihood.residual_over_noise(x)
        callback(Progress(step, self.num_steps, sigma, misfit, x))

    def _drawn(self, state: ParticleState, log_weights: Tensor) -> Samples:
        real = state.x.dtype.to_real()
        info = self._diagnostics(state, log_weights)
        if self.single_run:
            return Samples(state.x[:, 0], log_weights[:, 0].log_softmax(0).to(real), info)
        index = ancestors(log_weights, state.source, "multinomial", num=1)
        equal = torch.zeros_like(log_weights[0], dtype=real).log_softmax(0)
        return Samples(take(state.x, index)[0], equal, info)

    def _diagnostics(self, state: ParticleState, log_weights: Tensor) -> dict[str, Any]:
        return {}
