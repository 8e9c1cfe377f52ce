"""Plug-and-play descent: a gradient step on the data, then a projection onto the prior's images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import expand_right
from invdiff.priors.denoiser import Denoiser, half_range
from invdiff.rng import Streams, problem_streams
from invdiff.samplers.base import (
    Callback,
    Generators,
    Progress,
    Samples,
    check_problem,
    equal_log_weights,
    start_image,
)

__all__ = ["ProjectedDescent", "ProjectedDescentInfo", "ProjectedDescentState"]


class ProjectedDescentState(NamedTuple):
    """The image, and the length of its steps on the data, broadcasting against it."""

    x: Tensor
    step_length: Tensor
    streams: Streams


class ProjectedDescentInfo(NamedTuple):
    """The image between the step on the data and the projection."""

    descended: Tensor


@dataclass(frozen=True)
class ProjectedDescent:
    r"""Descend on the data within the images of a prior :cite:p:`venkatakrishnan2013`.

    .. math:: x \leftarrow f\Bigl(x + \frac{s}{\|W^{1/2} A\|^2}\, A^H W (t - A x)\Bigr),
        \qquad f = D(\cdot, \sigma)

    With an ``Idempotent`` prior f is a projection and the level says nothing: a fixed point solves
    the data as far as the images of f allow. For a linear projector it is constrained least
    squares, :math:`\arg\min_{x \in m + \mathrm{im} B} \|t - A x\|_W^2`, where A B is injective.
    Any other denoiser is plug-and-play: that of a Gaussian N(0, S) finds the mode of the posterior
    under the prior :math:`N(0, S s / (\sigma^2 \|W^{1/2} A\|^2))`, so sigma and s are a part of it.

    No posterior: samples differ by their start alone, in what neither data nor f decide. The
    steps converge for 0 < s < 2 and an f that does not lengthen distances, as slowly as A on the
    images of f is ill conditioned.

    Args:
        num_steps: Steps, one call of the denoiser each.
        sigma: Level at which it is called, in half data ranges.
        step_size: s, over the inverse of the largest curvature of the data.
        spread: Standard deviation of the start about the regularised least-squares image, in half
            data ranges.

    Raises:
        ValueError: A number out of its range.
    """

    num_steps: int = 100
    sigma: float = 0.01
    step_size: float = 1.0
    spread: float = 0.3

    def __post_init__(self) -> None:
        if self.num_steps < 1 or not 0 < self.sigma < math.inf:
            raise ValueError(
                "ProjectedDescent: expected num_steps >= 1 and sigma > 0, got "
                f"{self.num_steps} and {self.sigma}"
            )
        if not 0 < self.step_size < 2 or not 0 <= self.spread < math.inf:
            raise ValueError(
                "ProjectedDescent: expected 0 < step_size < 2 and spread >= 0, got "
                f"{self.step_size} and {self.spread}"
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
        """Descend from several starts for each problem, in one batch.

        Args:
            likelihood: One problem or a batch of them.
            denoiser: Such as an ``Idempotent``, in the units of the likelihood's image.
            num_samples: Starts of each problem.
            generator: One, or one per problem; see ``problem_streams``.
            callback: Called after each step.

        Raises:
            ValueError: The prior doesn't fit the operator.
        """
        state = self.init(likelihood, denoiser, num_samples, generator=generator)
        level = torch.tensor(self.sigma * half_range(denoiser), dtype=torch.float64)
        level = level.to(state.x.device)
        for i in range(self.num_steps):
            state, _ = self.step(state, level, likelihood, denoiser)
            if callback is not None:
                misfit = likelihood.residual_over_noise(state.x)
                callback(Progress(i, self.num_steps, level, misfit, state.x))
        return Samples(state.x, equal_log_weights(state.x, state.streams))

    def init(
        self, likelihood: Likelihood, denoiser: Denoiser, num_samples: int, *, generator: Generators
    ) -> ProjectedDescentState:
        """Return the first images, and how long the steps are that each problem can take."""
        half = check_problem(likelihood, denoiser)
        streams = problem_streams(generator, num_samples, likelihood.batch_shape)
        x = start_image(likelihood, denoiser, num_samples)
        x = x + half * self.spread * streams.normal(likelihood.image_shape, x)
        curvature = likelihood.norm() ** 2
        # data that say nothing leave the image where it is
        tiny = torch.finfo(curvature.dtype).tiny
        length = self.step_size / curvature.clamp(min=tiny)
        length = expand_right(length, len(likelihood.image_shape)).to(x.real.dtype)
        return ProjectedDescentState(x, length, streams)

    def step(
        self, state: ProjectedDescentState, sigma: Tensor, likelihood: Likelihood,
        denoiser: Denoiser,
    ) -> tuple[ProjectedDescentState, ProjectedDescentInfo]:  # fmt: skip
        """Step on the data and project, with the denoiser at a level in units of the image."""
        x = state.x
        descended = x + state.step_length * likelihood.quadratic_score(x)
        x = denoiser(descended, sigma.to(x.dtype.to_real()))
        return state._replace(x=x), ProjectedDescentInfo(descended)
