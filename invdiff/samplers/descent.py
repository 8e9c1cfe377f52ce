"""The loop of the samplers that go from high noise to none, one image for each sample."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors.denoiser import Denoiser, half_range
from invdiff.rng import Streams, problem_streams
from invdiff.samplers.base import (
    Callback,
    Generators,
    Progress,
    Samples,
    check_problem,
    equal_log_weights,
    karras_sigmas,
    start_image,
)

__all__ = ["Descent", "kept_noise"]


@dataclass(frozen=True)
class Descent(abc.ABC):
    """Samples of equal weight, in the scaling x0 + sigma n; methods differ in start and step.

    A state has the noisy image ``x`` and its ``streams``.
    """

    num_steps: int = 100
    sigma_max: float = 10.0
    sigma_min: float = 0.01
    rho: float = 7.0

    def __post_init__(self) -> None:
        karras_sigmas(self.num_steps, self.sigma_max, self.sigma_min, self.rho)

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
            likelihood: One problem or a batch of them.
            denoiser: Prior in the units of the likelihood's image.
            num_samples: Samples of each problem.
            generator: One, or one per problem; see ``problem_streams``.
            callback: Called after each step.

        Raises:
            ValueError: The prior doesn't fit the operator, or either doesn't suit the method.
        """
        state = self.init(likelihood, denoiser, num_samples, generator=generator)
        sigmas = half_range(denoiser) * self.levels().to(state.x.device)
        for i in range(self.num_steps):
            state, info = self.step(state, sigmas[i], sigmas[i + 1], likelihood, denoiser)
            self._report(i, sigmas[i], info, likelihood, callback)
        return Samples(state.x, equal_log_weights(state.x, state.streams))

    def _start(
        self, likelihood: Likelihood, denoiser: Denoiser, num_samples: int, generator: Generators
    ) -> tuple[Tensor, Streams]:
        """Return a coarse image under noise of the highest level, and one stream for each."""
        half = check_problem(likelihood, denoiser)
        streams = problem_streams(generator, num_samples, likelihood.batch_shape)
        x = start_image(likelihood, denoiser, num_samples)
        noise = streams.normal(likelihood.image_shape, x)
        return x + half * self.sigma_max * noise, streams

    @abc.abstractmethod
    def init(
        self, likelihood: Likelihood, denoiser: Denoiser, num_samples: int, *, generator: Generators
    ) -> Any:
        """Return the state at the highest noise level."""

    @abc.abstractmethod
    def step(
        self,
        state: Any,
        sigma: Tensor,
        sigma_next: Tensor,
        likelihood: Likelihood,
        denoiser: Denoiser,
    ) -> tuple[Any, Any]:
        """Go from one noise level to the next, in units of the image; 0 ends without noise."""

    def levels(self) -> Tensor:
        """Return the noise levels in half data ranges, the last one 0; ``num_steps + 1``."""
        levels = karras_sigmas(self.num_steps, self.sigma_max, self.sigma_min, self.rho)
        return torch.cat([levels, levels.new_zeros(1)])

    def _estimate(self, info: Any) -> Tensor:
        """Return the image of a step that the callback sees."""
        image: Tensor = info.corrected
        return image

    def _report(
        self,
        i: int,
        sigma: Tensor,
        info: Any,
        likelihood: Likelihood,
        callback: Callback | None,
    ) -> None:
        if callback is not None:
            image = self._estimate(info)
            misfit = likelihood.residual_over_noise(image)
            callback(Progress(i, self.num_steps, sigma, misfit, image))


def kept_noise(sigma: Tensor, sigma_next: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """Return the share of x - x0 that a step keeps, and the deviation of the noise it adds."""
    fresh = eta * sigma_next * (1 - (sigma_next / sigma) ** 2).sqrt()
    return (sigma_next**2 - fresh**2).sqrt() / sigma, fresh
