r"""The density of what an SDE samples, by particles that run it backwards.

The sampler is a chain: :math:`x_0 \sim \rho_0`, and Euler-Maruyama steps
:math:`p(x_{k+1} | x_k)`. With any proposals :math:`q(x_k | x_{k+1})` that start in
:math:`x_N = x`,

.. math:: \frac{\hat\rho_1(x)}{\rho_1(x)} = E_q \prod_k
    \frac{\rho_{t_k}(x_k)\, p(x_{k+1} | x_k)}{\rho_{t_{k+1}}(x_{k+1})\, q(x_k | x_{k+1})},

without any error of the step. Taken are the steps of the exact backward SDE, and the exact
densities between: with exact fields and short steps all factors are one. Particles, resampled or
not, estimate the mean without bias. By the inequality of Jensen its logarithm is too low on
average, so that the divergence comes out too high and never too low. One particle gives the
divergence of the paths, which is the first bound of ``kl_bounds``; more can but lower it.
Resampling helps where the factors wander, at little noise; it hurts where the sampled density is
far from the true one at all times, which the factors follow.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from invdiff.interpolants.diffusion import Epsilon
from invdiff.interpolants.process import Process
from invdiff.rng import Population, population, problem_streams
from invdiff.samplers.resampling import ancestors, effective_sample_size, take

__all__ = ["PathWeights", "log_density_ratio"]

# (x, t, epsilon) -> log rho(x, t) and b - epsilon s, both exact
Backward = Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]


class PathWeights:
    """Log weights of the particles of each point, and the log mean of those before.

    Args:
        count: Particles.
        source: The streams of each point.
        resample_below: Effective sample size, as a share, below which they are drawn anew.
    """

    def __init__(self, count: int, source: Population, resample_below: float) -> None:
        self._source, self._low = source, resample_below
        self._log_weights = torch.zeros((count, *source.problem_shape), dtype=torch.float64)
        self._log_mean = torch.zeros(source.problem_shape, dtype=torch.float64)

    @property
    def log_mean(self) -> Tensor:
        """The log of the estimate, one for each point."""
        return self._log_mean + self._log_weights.logsumexp(0) - math.log(len(self._log_weights))

    def multiply(self, log_factors: Tensor) -> Tensor:
        """Take factors in, and return whom each particle goes on from, ``(count, points)``."""
        self._log_weights = self._log_weights + log_factors
        chosen = effective_sample_size(self._log_weights) < self._low
        drawn = ancestors(self._log_weights, self._source)
        self._log_mean = torch.where(chosen, self.log_mean, self._log_mean)
        self._log_weights = torch.where(chosen, 0.0, self._log_weights)
        return torch.where(chosen, drawn, torch.arange(len(drawn)).unsqueeze(1))


@torch.no_grad()
def log_density_ratio(
    learned: Process,
    backward: Backward,
    x: Tensor,
    times: Tensor,
    *,
    epsilon: Epsilon,
    count: int,
    generator: torch.Generator,
    resample_below: float = 0.5,
) -> Tensor:
    """Estimate the log of the sampled density over the true one.

    Args:
        learned: What the sampler uses.
        backward: The truth: log density and drift of the backward SDE.
        x: Where, ``(points, dim)``: samples of the truth, for its divergence.
        times: Of the sampler, ``(steps + 1,)``, increasing from 0 to 1.
        epsilon: Its noise, above 0.
        count: Particles for each point.
        generator: Each point has a stream of its own from it.
        resample_below: Effective sample size, as a share of the particles; 0 for never.

    Returns:
        ``(points,)``, float64.

    Raises:
        ValueError: A step without noise, or no particle.
    """
    amounts = [float(epsilon(t)) for t in times[:-1]]
    if count < 1 or not min(amounts) > 0:
        raise ValueError(
            f"log_density_ratio: expected count >= 1 and epsilon > 0, got {count}, {min(amounts)}"
        )
    source = population(problem_streams(generator, len(x), ()).generators, (len(x),))
    weights = PathWeights(count, source, resample_below)
    x = x.expand(count, *x.shape)
    log_rho, drift = backward(x, times[-1], amounts[-1])
    for k in reversed(range(len(amounts))):
        t, h, e = times[k], float(times[k + 1] - times[k]), amounts[k]
        noise = source.normal(count, x.shape[2:], x)
        before = x - h * drift + (2 * e * h) ** 0.5 * noise
        ahead = before + h * (learned.velocity(before, t) + e * learned.score(before, t))
        # the constants of both normal densities cancel
        log_step = (noise**2).sum(-1) / 2 - ((x - ahead) ** 2).sum(-1) / (4 * e * h)
        # the step to t is a backward one of the noise of the forward one from there
        log_rho_before, drift = backward(before, t, amounts[max(k - 1, 0)])
        index = weights.multiply((log_rho_before - log_rho + log_step).double())
        x, drift, log_rho = (take(part, index) for part in (before, drift, log_rho_before))
    return weights.log_mean
