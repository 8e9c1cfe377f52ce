"""Small problems with a known posterior, solved many times by weighted particles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianMixturePrior
from invdiff.priors.denoiser import Denoiser
from invdiff.rng import derive_generator
from invdiff.samplers import Sampler
from invdiff.study.scripted import Arrays
from operators import GaussianNoise, Matrix

__all__ = ["PerturbedScore", "RateProblem"]


class PerturbedScore:
    r"""A denoiser whose score is wrong by :math:`\epsilon\, v\, s / (s^2 + \sigma^2)`.

    Args:
        denoiser: The exact one.
        error: epsilon.
        scale: s, the spread of the prior.
        direction: v, of the shape of an image.
    """

    def __init__(self, denoiser: Denoiser, error: float, scale: float, direction: Tensor) -> None:
        self.denoiser, self.error, self.scale = denoiser, error, scale
        self.direction = direction
        self.data_range, self.image_shape = denoiser.data_range, denoiser.image_shape

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the wrong posterior mean."""
        share = self.scale * sigma**2 / (sigma**2 + self.scale**2)
        return self.denoiser(x, sigma) + self.error * share * self.direction.to(x)


@dataclass(frozen=True)
class RateProblem:
    """A Gaussian, or a mixture of two, measured by a random matrix.

    Args:
        num_modes: 1 or 2.
        num_dims: Numbers in x.
        num_measured: Numbers in y.
        noise_std: Of the measurements.
        seed: Of prior, matrix and measurement.
    """

    num_modes: int
    num_dims: int
    num_measured: int
    noise_std: float
    seed: int

    def prior(self) -> GaussianMixturePrior:
        """Return components of variance 1/2 about means one or two apart in each number."""
        signs = self._normal("means", 1, self.num_dims).sign()
        means = torch.cat([signs, -signs])[: self.num_modes] * 0.75
        covariance = 0.5 * torch.eye(self.num_dims, dtype=torch.float64)
        weights = torch.tensor([0.6, 0.4], dtype=torch.float64)[: self.num_modes]
        return GaussianMixturePrior(weights, means, covariance.expand(self.num_modes, -1, -1))

    def likelihood(self, runs: int | None = None) -> Likelihood:
        """Return the likelihood of the one measurement, or a batch of equal ones."""
        matrix = self._normal("matrix", self.num_measured, self.num_dims) / self.num_dims**0.5
        operator, noise = Matrix(matrix), GaussianNoise(self.noise_std)
        x = self.prior().sample(1, generator=derive_generator(self.seed, "truth"))[0]
        y = noise.sample(operator(x), generator=derive_generator(self.seed, "noise"))
        return Likelihood(operator, noise, y if runs is None else y.expand(runs, -1).clone())

    def log_evidence(self) -> float:
        """Return log p(y)."""
        prior, likelihood = self.prior(), self.likelihood()
        operator = likelihood.operator
        dense = operator(torch.eye(self.num_dims, dtype=torch.float64)).mT
        noise = self.noise_std**2 * torch.eye(self.num_measured, dtype=torch.float64)
        covariance = dense @ prior.covariances @ dense.mT + noise
        measured = GaussianMixturePrior(prior.weights, prior.means @ dense.mT, covariance)
        return float(measured.log_prob(likelihood.y))

    def errors(
        self, sampler: Sampler, num_samples: int, runs: int, score_error: float = 0.0
    ) -> Arrays:
        """Return what independent runs say of the mean and the evidence.

        Returns:
            "offsets": error of the mean in exact standard deviations, ``(runs, num_dims)``;
            "log_ratios": log of the estimated over the exact evidence, ``(runs,)``;
            "sizes": lowest effective sample size of each run.
        """
        prior = self.prior()
        exact = prior.posterior(self.likelihood())
        denoiser: Denoiser = prior
        if score_error:
            direction = torch.full((self.num_dims,), self.num_dims**-0.5, dtype=torch.float64)
            scale = math.sqrt(float(prior.covariance().diagonal().mean()))
            denoiser = PerturbedScore(prior, score_error, scale, direction)
        streams = [derive_generator(self.seed, "run", run, num_samples) for run in range(runs)]
        samples = sampler.sample(self.likelihood(runs), denoiser, num_samples, generator=streams)
        std = exact.covariance().diagonal().sqrt()
        return {
            "offsets": ((samples.mean() - exact.mean()) / std).numpy(),
            "log_ratios": (samples.info["log_evidence"] - self.log_evidence()).numpy(),
            "sizes": samples.info["effective_sample_size"].min(0).values.numpy(),
        }

    def _normal(self, label: str, *shape: int) -> Tensor:
        generator = derive_generator(self.seed, label)
        return torch.randn(shape, generator=generator, dtype=torch.float64)


def root_mean_square(offsets: np.ndarray) -> float:
    """Return the root mean square over runs and dimensions."""
    return float(np.sqrt((offsets**2).mean()))
