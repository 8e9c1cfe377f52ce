"""Rollover budget forcing: a greedy search along the SDE of a flow, with a budget of calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.interpolants.interpolant import Interpolant
from invdiff.interpolants.noise_levels import noise_level
from invdiff.interpolants.rewarded_walk import (
    VARIANCE_PRESERVING,
    Particle,
    RewardedWalk,
    WalkNoise,
    check_noise_scale,
    chosen,
)
from invdiff.likelihood import Likelihood
from invdiff.priors.denoiser import Denoiser, half_range
from invdiff.rng import problem_streams
from invdiff.samplers.base import Callback, Generators, Progress, Samples, equal_log_weights

__all__ = ["RolloverBudget"]


class _Search(NamedTuple):
    """Every chain of every sample at its own step; all but the draws are of shape ``batch``."""

    parent: Particle
    child: Particle
    best: Tensor
    step: Tensor
    left: Tensor
    draws: Tensor


@dataclass(frozen=True)
class RolloverBudget:
    r"""Search for the image of the highest reward log p(y | x), step by step along the SDE.

    Each chain starts in the best of some images of noise. A step draws children one by one, and
    looks at the reward of the clean image that each would become. The first that beats the best
    reward so far advances, and the draws that it left roll over to the next step; if none does,
    the best child of the step advances. With B chains a step is allowed

    .. math:: Q = \left\lfloor \frac{\text{max\_calls} - B\, \text{num\_starts}}
        {B\, \text{num\_steps}} \right\rfloor

    children, the last step all that is left; of the chains the best is returned.
    :cite:t:`kim2025rbf`; there the search ends a step before the data, here at them.

    No sampler of the posterior: the more calls, the nearer are all samples to the one image that
    explains y best, noise included. For samples take an ``Ensemble`` with the same prior.

    Chains wait for none of the others, so that a draw is one network call for all of them.

    Args:
        max_calls: Network calls of each sample.
        num_steps: Euler-Maruyama steps.
        num_starts: Images of noise that a chain chooses from.
        num_chains: B.
        noise_scale: c, where the noise of the SDE is c (1 - t)^2; with 0 all children are equal.
        interpolant: The path, without x0; by default the trigonometric one, which keeps the
            variance.

    Raises:
        ValueError: A number out of its range, or calls that don't suffice for a child a step.
    """

    max_calls: int = 500
    num_steps: int = 10
    num_starts: int = 25
    num_chains: int = 2
    noise_scale: float = 3.0
    interpolant: Interpolant = VARIANCE_PRESERVING

    def __post_init__(self) -> None:
        check_noise_scale(self.noise_scale, "RolloverBudget")
        if min(self.num_steps, self.num_starts, self.num_chains) < 1:
            raise ValueError(
                "RolloverBudget: expected num_steps, num_starts and num_chains >= 1, got "
                f"{self.num_steps}, {self.num_starts} and {self.num_chains}"
            )
        # a NaN is neither below nor above
        if not self.quota >= 1:
            raise ValueError(
                "RolloverBudget: expected max_calls >= num_chains * (num_starts + num_steps) = "
                f"{self.num_chains * (self.num_starts + self.num_steps)}, got {self.max_calls}"
            )

    @property
    def quota(self) -> int:
        """Q, the children that each step of a chain adds to what rolled over."""
        free = self.max_calls - self.num_starts * self.num_chains
        return free // (self.num_steps * self.num_chains)

    @property
    def num_calls(self) -> int:
        """Calls that a sample takes, at most ``max_calls``."""
        return self.num_chains * (self.num_starts + self.num_steps * self.quota)

    def sample(
        self,
        likelihood: Likelihood,
        denoiser: Denoiser,
        num_samples: int,
        *,
        generator: Generators,
        callback: Callback | None = None,
    ) -> Samples:
        """Search for images, each on its own.

        Args:
            likelihood: One problem or a batch of them.
            denoiser: Prior in the units of the likelihood's image; a ``FlowPrior`` is one.
            num_samples: Samples of each problem.
            generator: One, or one per problem; see ``problem_streams``.
            callback: Called after each draw, with the noise level of the chain that leads.

        Returns:
            Samples of equal weight; ``info`` has "num_calls" of each, its "reward",
            ``(num_samples, *problems)``, and "draws", the children of each step,
            ``(num_steps, num_chains, num_samples, *problems)``.

        Raises:
            ValueError: The prior doesn't fit the operator.
        """
        walk = RewardedWalk(likelihood, denoiser, self.interpolant, self.noise_scale)
        streams = problem_streams(generator, num_samples, likelihood.batch_shape)
        shape, like = (self.num_chains, *likelihood.image_shape), likelihood.weighted_adjoint
        noise = WalkNoise(streams, shape, 1, like)
        with torch.no_grad():
            search = self._started(walk, noise)
            for i in range(self.num_steps * self.quota):
                search = self._drawn(search, walk, noise())
                self._tell(callback, i, search, walk)
        values, reward = _lead(search.child.mean, search.child.reward), search.child.reward.amax(0)
        info = {"num_calls": self.num_calls, "reward": reward, "draws": search.draws}
        return Samples(walk.image(values), equal_log_weights(values, streams), info)

    def _started(self, walk: RewardedWalk, noise: WalkNoise) -> _Search:
        start = walk.start(noise())
        for _ in range(self.num_starts - 1):
            other = walk.start(noise())
            start = chosen(other.reward > start.reward, other, start)
        step = torch.zeros(start.reward.shape, dtype=torch.long, device=start.x.device)
        draws = step.expand(self.num_steps, *step.shape)
        return _Search(start, start, start.reward, step, step + self.quota, draws)

    def _drawn(self, search: _Search, walk: RewardedWalk, noise: Tensor) -> _Search:
        """Draw one child for each chain, and let those advance that may."""
        times = torch.linspace(0, 1, self.num_steps + 1, dtype=torch.float64, device=noise.device)
        step = search.step
        new = walk.step(search.parent, times[step], times[step + 1], noise)
        first = _at(search.draws, step) == 0
        child = chosen(first | (new.reward > search.child.reward), new, search.child)
        left = search.left - 1
        better = new.reward > search.best
        # the last step has nowhere to roll over to
        advances = (better | (left == 0)) & (step < self.num_steps - 1)
        numbers = torch.arange(self.num_steps, device=step.device)
        return _Search(
            chosen(advances, child, search.parent),
            child,
            torch.where(better, new.reward, search.best),
            step + advances,
            left + self.quota * advances,
            search.draws + (numbers.reshape(-1, *[1] * step.ndim) == step),
        )

    def _tell(
        self, callback: Callback | None, draw: int, search: _Search, walk: RewardedWalk
    ) -> None:
        if callback is None:
            return
        image, reward = walk.image(search.child.mean), search.child.reward
        time = _at(search.step, reward.argmax(0)) / self.num_steps
        sigma = noise_level(self.interpolant, time.double()) * half_range(walk.denoiser)
        lead = _lead(image, reward)
        misfit = walk.likelihood.residual_over_noise(lead)
        callback(Progress(draw, self.num_steps * self.quota, sigma, misfit, lead))


def _at(values: Tensor, index: Tensor) -> Tensor:
    """Return values ``(count, *batch)`` at an index of shape ``batch``."""
    return values.gather(0, index.unsqueeze(0)).squeeze(0)


def _lead(values: Tensor, reward: Tensor) -> Tensor:
    """Return, of the chains of values ``(chains, *batch, *shape)``, that of the best reward."""
    index = reward.argmax(0, keepdim=True)
    wide = index.reshape(*index.shape, *[1] * (values.ndim - index.ndim))
    return values.gather(0, wide.expand(1, *values.shape[1:])).squeeze(0)
