r"""The SDE of a flow with a look ahead: what a particle would become, and how well it explains y.

One network call gives the mean of the clean image, and with it the reward, the velocity and the
score from which the next step is taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.interpolants.flow_prior import DenoiserProcess
from invdiff.interpolants.interpolant import Interpolant, OneSided, beside
from invdiff.interpolants.paths import TrigonometricPath
from invdiff.likelihood import Likelihood
from invdiff.linalg import expand_right
from invdiff.priors.denoiser import Denoiser, rescale
from invdiff.rng import Streams
from invdiff.samplers.base import check_problem

__all__ = [
    "VARIANCE_PRESERVING",
    "Particle",
    "RewardedWalk",
    "WalkNoise",
    "check_noise_scale",
    "chosen",
]

VARIANCE_PRESERVING = OneSided(TrigonometricPath())

# numbers that are drawn at once for a sample; a call for each step would cost more than the step
_BLOCK = 1024


class Particle(NamedTuple):
    """Images on their way, in half data ranges about the middle.

    Args:
        x: Shape ``(*batch, *image_shape)``.
        mean: E[x1 | x_t = x], of the same shape.
        reward: log p(y | mean), shape ``batch``.
    """

    x: Tensor
    mean: Tensor
    reward: Tensor


def chosen(condition: Tensor, new: Particle, old: Particle) -> Particle:
    """Return the new particle where the condition, of shape ``batch``, holds; the old elsewhere."""
    wide = expand_right(condition, new.x.ndim - condition.ndim)
    return Particle(
        torch.where(wide, new.x, old.x),
        torch.where(wide, new.mean, old.mean),
        torch.where(condition, new.reward, old.reward),
    )


@dataclass(frozen=True, eq=False)
class RewardedWalk:
    r"""A denoiser's flow on a path of its own choice, made stochastic.

    .. math:: dX = (b + \tfrac12 g^2 s)\, dt + g\, dW, \qquad g = c\, (1 - t)^2

    Every c >= 0 has the marginals of the flow; the noise lets children of one parent part ways.
    :cite:t:`kim2025rbf`, whose times run backwards.

    Args:
        likelihood: Gives the reward.
        denoiser: In the units of the likelihood's image; a ``FlowPrior`` is one.
        interpolant: The path, without x0: this is where a flow is converted to another one.
        noise_scale: c.

    Raises:
        ValueError: A prior that doesn't fit the operator, or an interpolant with x0.
    """

    likelihood: Likelihood
    denoiser: Denoiser
    interpolant: Interpolant
    noise_scale: float

    def __post_init__(self) -> None:
        check_problem(self.likelihood, self.denoiser)
        # refuses what it can't walk on before any noise is drawn
        _ = self._process

    def start(self, x: Tensor) -> Particle:
        """Return particles of pure noise x ``(*batch, *image_shape)`` at t = 0."""
        return self._seen(x, torch.zeros((), dtype=torch.float64, device=x.device))

    def step(self, particle: Particle, t: Tensor, end: Tensor, noise: Tensor) -> Particle:
        """Take one Euler-Maruyama step, at one network call.

        Args:
            particle: At t < 1.
            t: 0-dimensional or ``batch``.
            end: As t, later.
            noise: Standard normals of the shape of x.
        """
        c, x = self.interpolant.at(t).expanded(particle.x), particle.x
        eta = (x - c.beta * particle.mean) / c.gamma
        b, s = c.beta_dot * particle.mean + c.gamma_dot * eta, -eta / c.gamma
        h, g = beside(end - t, x), beside(self.noise_scale * (1 - t) ** 2, x)
        return self._seen(x + h * (b + g**2 / 2 * s) + h.sqrt() * g * noise, end)

    def image(self, mean: Tensor) -> Tensor:
        """Return a mean in the units of the likelihood's image."""
        low, high = self.denoiser.data_range
        return (low + high) / 2 + (high - low) / 2 * mean

    def _seen(self, x: Tensor, t: Tensor) -> Particle:
        mean = self._process.target_mean(x, t)
        return Particle(x, mean, self.likelihood.log_prob(self.image(mean)))

    @cached_property
    def _process(self) -> DenoiserProcess:
        return DenoiserProcess(rescale(self.denoiser, -1.0, 1.0), self.interpolant)


class WalkNoise:
    """Standard normals for the chains of each sample, drawn in blocks of steps from its stream.

    Args:
        streams: One for each sample of each problem.
        shape: Of what each sample draws: ``(*chains, *image_shape)``.
        num_chain_dims: Number of dimensions of the chains, which come first in a draw.
        like: Dtype and device.
    """

    def __init__(
        self, streams: Streams, shape: tuple[int, ...], num_chain_dims: int, like: Tensor
    ) -> None:
        self._streams, self._shape, self._like = streams, shape, like
        self._num_chain_dims = num_chain_dims
        # of the shape alone, so that the draws don't depend on the batch
        self._steps = max(1, _BLOCK // max(1, math.prod(shape)))
        self._block, self._next = like.new_empty(0), self._steps

    def __call__(self) -> Tensor:
        """Return the next draw, ``(*chains, num_samples, *problems, *image_shape)``."""
        first = len(self._streams.batch_shape)
        if self._next == self._steps:
            self._block = self._streams.normal((self._steps, *self._shape), self._like)
            self._next = 0
        draw = self._block.select(first, self._next)
        self._next += 1
        chains = range(self._num_chain_dims)
        return draw.movedim([first + i for i in chains], list(chains))


def check_noise_scale(noise_scale: float, who: str) -> None:
    """Refuse an amount of noise that is negative or not finite.

    Raises:
        ValueError: Such a one.
    """
    if not 0 <= noise_scale < math.inf:
        raise ValueError(f"{who}: expected a finite noise_scale >= 0, got {noise_scale}")
