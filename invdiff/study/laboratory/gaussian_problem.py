"""Inpainting of independent Gaussian pixels: the posterior is known, and so is the denoiser."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors import SharedCovarianceMixture
from invdiff.rng import derive_generator
from invdiff.samplers import Sampler
from invdiff.study.laboratory.deepinv_peers import DeepinvColumn, Inpainting
from invdiff.study.scripted import Arrays
from invdiff.theory import exact_std
from operators import GaussianNoise, Mask

__all__ = ["REGIONS", "GaussianProblem"]

REGIONS = ("observed", "unobserved")


@dataclass(frozen=True)
class GaussianProblem:
    """One image with its measurement, derived from the seed alone.

    Args:
        prior_mean: Of each pixel.
        prior_std: Of each pixel.
        size: Rows and columns.
        keep: Probability that a pixel is observed; one always is, and one is not.
        sigma: Standard deviation of the noise.
        seed: Of mask, image, noise and all samplers.
        device: Where to compute.
    """

    prior_mean: float
    prior_std: float
    size: int
    keep: float
    sigma: float
    seed: int
    device: str

    @cached_property
    def prior(self) -> SharedCovarianceMixture:
        """The image; with a multiple of the identity there is no matrix product in it."""
        means = torch.full((1, self.size, self.size), self.prior_mean, dtype=torch.float64)
        means = means.to(self.device)
        return SharedCovarianceMixture(means.new_ones(1), means, self.prior_std**2)

    @cached_property
    def mask(self) -> Tensor:
        """True where observed."""
        draws = torch.rand(self.size, self.size, generator=self._generator("mask"))
        lowest, highest = draws.aminmax()
        observed = (draws < self.keep) & (draws != highest) | (draws == lowest)
        return observed.to(self.device)

    @cached_property
    def truth(self) -> Tensor:
        """The image that was measured."""
        return self.prior.sample(1, generator=self._generator("truth", self.device))[0]

    @cached_property
    def likelihood(self) -> Likelihood:
        """The measurement."""
        operator, noise = Mask(self.mask), GaussianNoise(self.sigma)
        generator = self._generator("noise", self.device)
        return Likelihood(operator, noise, noise.sample(operator(self.truth), generator=generator))

    @cached_property
    def posterior(self) -> SharedCovarianceMixture:
        """What the samples should have."""
        return self.prior.posterior(self.likelihood)

    @cached_property
    def mean(self) -> Tensor:
        """Of the posterior, on the CPU."""
        return self.posterior.mean().cpu()

    @cached_property
    def std(self) -> Tensor:
        """Of the posterior, on the CPU."""
        return exact_std(self.posterior).cpu()

    def regions(self) -> dict[str, Tensor]:
        """Return a mask for each of ``REGIONS``, on the CPU."""
        mask = self.mask.cpu()
        return dict(zip(REGIONS, (mask, ~mask), strict=True))

    def exact_samples(self, num_samples: int) -> Arrays:
        """Draw from the posterior itself: a control of everything else."""
        generator = self._generator("exact", self.device)
        return _stored(self.posterior.sample(num_samples, generator=generator))

    def samples(self, sampler: Sampler, num_samples: int, label: str) -> Arrays:
        """Run one of this project's samplers, with the stream of the label."""
        generator = self._generator(label, self.device)
        samples = sampler.sample(self.likelihood, self.prior, num_samples, generator=generator)
        return _stored(samples.values, samples.log_weights)

    def peer_samples(self, column: DeepinvColumn, num_samples: int, label: str) -> Arrays:
        """Run one of deepinv's samplers, with a seed made of the label."""
        problem = Inpainting(self.prior, self.mask, self.likelihood.y, self.sigma)
        seed = self._generator(label).initial_seed() % 2**31
        return _stored(column.sample(problem, num_samples, seed))

    def _generator(self, label: str, device: str = "cpu") -> torch.Generator:
        return derive_generator(self.seed, "gaussian-calibration", label, device=device)


def _stored(values: Tensor, log_weights: Tensor | None = None) -> Arrays:
    if log_weights is None:
        log_weights = values.new_full((len(values),), -math.log(len(values)))
    return {
        "values": values.double().cpu().numpy(),
        "log_weights": log_weights.double().cpu().numpy(),
    }
