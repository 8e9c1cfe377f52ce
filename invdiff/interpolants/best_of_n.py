"""Best of N: draw from the prior N times and keep what explains the data best."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.interpolants.interpolant import Interpolant
from invdiff.interpolants.rewarded_walk import (
    VARIANCE_PRESERVING,
    Particle,
    RewardedWalk,
    WalkNoise,
    check_noise_scale,
    chosen,
)
from invdiff.likelihood import Likelihood
from invdiff.priors.denoiser import Denoiser
from invdiff.rng import problem_streams
from invdiff.samplers.base import Callback, Generators, Progress, Samples, equal_log_weights

__all__ = ["BestOfN"]


@dataclass(frozen=True)
class BestOfN:
    r"""Keep, of N draws of the prior, the one of the highest reward log p(y | x).

    No sampler of the posterior but a baseline: with G(x) the share of the prior whose reward is
    lower, the law of what is kept and its divergence from the prior are, for a reward that is
    continuous,

    .. math:: q_N(x) = N\, p(x)\, G(x)^{N - 1}, \qquad
        \mathrm{KL}(q_N \| p) = \log N - \frac{N - 1}{N}

    :cite:p:`beirami2024`. It passes by the posterior at some N and goes on to the one image that
    explains y best, which is over-fitted to the noise.

    Args:
        max_calls: Network calls of each sample; N is as many draws as they allow.
        num_steps: Euler-Maruyama steps of each draw, which takes one call more.
        noise_scale: c, where the noise of the SDE is c (1 - t)^2; 0 is the ODE.
        interpolant: The path, without x0; by default the trigonometric one, which keeps the
            variance.

    Raises:
        ValueError: A number out of its range, or calls that don't suffice for one draw.
    """

    max_calls: int = 500
    num_steps: int = 10
    noise_scale: float = 3.0
    interpolant: Interpolant = VARIANCE_PRESERVING

    def __post_init__(self) -> None:
        check_noise_scale(self.noise_scale, "BestOfN")
        # a NaN is neither below nor above
        if not (self.num_steps >= 1 and self.num_draws >= 1):
            raise ValueError(
                "BestOfN: expected num_steps >= 1 and max_calls > num_steps, got "
                f"{self.num_steps} and {self.max_calls}"
            )

    @property
    def num_draws(self) -> int:
        """N."""
        return self.max_calls // (self.num_steps + 1)

    def sample(
        self,
        likelihood: Likelihood,
        denoiser: Denoiser,
        num_samples: int,
        *,
        generator: Generators,
        callback: Callback | None = None,
    ) -> Samples:
        """Draw samples, each the best of its own N.

        Args:
            likelihood: One problem or a batch of them.
            denoiser: Prior in the units of the likelihood's image; a ``FlowPrior`` is one.
            num_samples: Samples of each problem.
            generator: One, or one per problem; see ``problem_streams``.
            callback: Called after each draw with the best so far, which is clean.

        Returns:
            Samples of equal weight; ``info`` has "num_calls" of each and its "reward",
            ``(num_samples, *problems)``.

        Raises:
            ValueError: The prior doesn't fit the operator.
        """
        walk = RewardedWalk(likelihood, denoiser, self.interpolant, self.noise_scale)
        streams = problem_streams(generator, num_samples, likelihood.batch_shape)
        noise = WalkNoise(streams, likelihood.image_shape, 0, likelihood.weighted_adjoint)
        with torch.no_grad():
            best = self._draw(walk, noise)
            self._tell(callback, 0, best, walk)
            for i in range(1, self.num_draws):
                draw = self._draw(walk, noise)
                best = chosen(draw.reward > best.reward, draw, best)
                self._tell(callback, i, best, walk)
        info = {"num_calls": self.num_draws * (self.num_steps + 1), "reward": best.reward}
        values = walk.image(best.mean)
        return Samples(values, equal_log_weights(values, streams), info)

    def _draw(self, walk: RewardedWalk, noise: WalkNoise) -> Particle:
        x = noise()
        times = torch.linspace(0, 1, self.num_steps + 1, dtype=torch.float64, device=x.device)
        particle = walk.start(x)
        for i in range(self.num_steps):
            particle = walk.step(particle, times[i], times[i + 1], noise())
        return particle

    def _tell(
        self, callback: Callback | None, step: int, best: Particle, walk: RewardedWalk
    ) -> None:
        if callback is not None:
            image = walk.image(best.mean)
            sigma: Tensor = image.real.new_zeros(())
            misfit = walk.likelihood.residual_over_noise(image)
            callback(Progress(step, self.num_draws, sigma, misfit, image))
