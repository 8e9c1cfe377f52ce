"""Unconditional samples of a prior: the probability-flow ODE by Heun's method."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.linalg import expand_right
from invdiff.priors.denoiser import Denoiser, half_range
from invdiff.priors.pfgm import check_dof, student_scale
from invdiff.rng import Streams, problem_streams
from invdiff.samplers.base import (
    Callback,
    Progress,
    Samples,
    equal_log_weights,
    karras_sigmas,
)

__all__ = ["HeunSampler", "heun_step"]


def heun_step(
    denoiser: Callable[[Tensor, Tensor], Tensor], x: Tensor, sigma: Tensor, sigma_next: Tensor
) -> Tensor:
    r"""Take one Heun step of :math:`dx/d\sigma = (x - D(x, \sigma)) / \sigma`.

    Algorithm 1 of :cite:t:`karras2022`. A step to ``sigma_next`` = 0 is an Euler step, since the
    slope is singular there.
    """
    slope = (x - denoiser(x, sigma)) / sigma.to(x)
    euler = x + (sigma_next - sigma).to(x) * slope
    if sigma_next == 0:
        return euler
    slope_next = (euler - denoiser(euler, sigma_next)) / sigma_next.to(x)
    return x + (sigma_next - sigma).to(x) * (slope + slope_next) / 2


@dataclass(frozen=True)
class HeunSampler:
    """Sample the prior, :cite:t:`karras2022`, algorithms 1 (churn 0) and 2.

    Args:
        num_steps: Noise levels; two network calls each, but one for the last.
        sigma_max: Highest noise level, in half data ranges.
        sigma_min: Lowest noise level before 0, in half data ranges.
        rho: Exponent of the grid.
        churn: Noise added and removed in all, the ``S_churn`` of the paper.
        churn_noise: Its standard deviation over the exact one, ``S_noise``.
        dof: D of the start, for a denoiser of the Student t noise of PFGM++ :cite:p:`xu2023`,
            whose ODE is the same; infinity for one of Gaussian noise.

    Raises:
        ValueError: A number out of its range, or churn, which is Gaussian, with a finite D.
    """

    num_steps: int = 18
    sigma_max: float = 80.0
    sigma_min: float = 0.002
    rho: float = 7.0
    churn: float = 0.0
    churn_noise: float = 1.0
    dof: float = math.inf

    def __post_init__(self) -> None:
        karras_sigmas(self.num_steps, self.sigma_max, self.sigma_min, self.rho)
        if self.churn < 0 or self.churn_noise < 0:
            raise ValueError(
                f"HeunSampler: churn must not be negative, got {self.churn}, {self.churn_noise}"
            )
        check_dof(self.dof)
        if self.churn and math.isfinite(self.dof):
            raise ValueError(f"HeunSampler: churn goes with Gaussian noise, got dof {self.dof}")

    def sample(
        self,
        denoiser: Denoiser,
        num_samples: int,
        *,
        generator: torch.Generator,
        image_shape: Sequence[int] | None = None,
        dtype: torch.dtype = torch.float32,
        callback: Callback | None = None,
    ) -> Samples:
        """Draw from the prior.

        Args:
            denoiser: The prior, in any units.
            num_samples: Samples, each with its own stream.
            generator: Source of the streams, on the device that is to be used.
            image_shape: Needed where the denoiser takes any shape.
            dtype: Of the samples.
            callback: Called after each step; the misfit is NaN.

        Raises:
            ValueError: The shape of the image is not known.
        """
        shape = denoiser.image_shape if image_shape is None else tuple(image_shape)
        if shape is None:
            raise ValueError("HeunSampler: this denoiser takes any shape, pass image_shape")
        streams = problem_streams(generator, num_samples, ())
        levels = karras_sigmas(self.num_steps, self.sigma_max, self.sigma_min, self.rho)
        sigmas = half_range(denoiser) * torch.cat([levels, levels.new_zeros(1)])
        like = torch.zeros((), dtype=dtype, device=generator.device)
        middle = sum(denoiser.data_range) / 2
        x = middle + sigmas[0].to(like) * self._start(shape, streams, like)
        for i in range(self.num_steps):
            x, sigma = self._churned(x, sigmas[i], streams)
            x = heun_step(denoiser, x, sigma, sigmas[i + 1])
            if callback is not None:
                unknown = torch.full((num_samples,), math.nan)
                callback(Progress(i, self.num_steps, sigmas[i], unknown, x))
        return Samples(x, equal_log_weights(x, streams))

    def _start(self, shape: Sequence[int], streams: Streams, like: Tensor) -> Tensor:
        normal = streams.normal(shape, like)
        scales = [student_scale(1, self.dof, generator=g) for g in streams.generators]
        return normal * expand_right(torch.cat(scales).to(like), len(shape))

    def _churned(self, x: Tensor, sigma: Tensor, streams: Streams) -> tuple[Tensor, Tensor]:
        gamma = min(self.churn / self.num_steps, math.sqrt(2) - 1)
        if gamma == 0:
            return x, sigma
        raised = sigma * (1 + gamma)
        added = self.churn_noise * (raised**2 - sigma**2).sqrt()
        return x + added.to(x) * streams.normal(x.shape[1:], x), raised
