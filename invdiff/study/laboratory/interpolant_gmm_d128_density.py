r"""The density of what an SDE samples, by paths that run backwards.

The sampler is a chain: :math:`x_0 \sim \rho_0`, and Euler-Maruyama steps
:math:`p(x_{k+1} | x_k)`. With any proposals :math:`q(x_k | x_{k+1})` that start in
:math:`x_N = x`,

.. math:: \hat\rho_1(x) = E_q\, \rho_0(x_0) \prod_k \frac{p(x_{k+1} | x_k)}{q(x_k | x_{k+1})},

without any error of the step. By the inequality of Jensen the log of a mean over K paths is too
low on average, so that the divergence comes out too high and never too low, and less so the more
paths (:cite:t:`burda2016`). With the exact backward SDE as proposal one path gives the divergence
of the paths, the first bound of ``kl_bounds``. The learned backward SDE is a better proposal: it
shares the error of the velocity with the sampler.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invdiff.interpolants.diffusion import Epsilon
from invdiff.interpolants.process import Process
from invdiff.rng import population, problem_streams

__all__ = ["log_density", "log_path_weights"]


def log_density(log_weights: Tensor, count: int) -> Tensor:
    """Return the log of means over groups of paths, averaged over the groups, ``(points,)``.

    Args:
        log_weights: ``(paths, points)``, see ``log_path_weights``.
        count: Paths of a group, a divisor of all.
    """
    groups = log_weights.unflatten(0, (-1, count))
    return (groups.logsumexp(1) - math.log(count)).mean(0)


@torch.no_grad()
def log_path_weights(
    learned: Process,
    proposal: Process,
    x: Tensor,
    times: Tensor,
    *,
    epsilon: Epsilon,
    count: int,
    generator: torch.Generator,
) -> Tensor:
    """Return log weights of backward paths, whose mean estimates the sampled density at x.

    Args:
        learned: What the sampler uses; it starts in standard normal numbers.
        proposal: Its backward SDE draws the paths.
        x: Where, ``(points, dim)``: samples of the truth, for its divergence.
        times: Of the sampler, ``(steps + 1,)``, increasing.
        epsilon: Its noise, above 0.
        count: Paths from each point.
        generator: Each point has a stream of its own from it.

    Returns:
        ``(count, points)``, float64.

    Raises:
        ValueError: A step without noise, or no path.
    """
    amounts = [float(epsilon(t)) for t in times[:-1]]
    if count < 1 or not min(amounts) > 0:
        raise ValueError(
            f"log_path_weights: expected count >= 1 and epsilon > 0, got {count}, {min(amounts)}"
        )
    source = population(problem_streams(generator, len(x), ()).generators, (len(x),))
    x = x.expand(count, *x.shape)
    total = torch.zeros(x.shape[:2], dtype=torch.float64)
    for k in reversed(range(len(amounts))):
        t, end, e = times[k], times[k + 1], amounts[k]
        h, noise = float(end - t), source.normal(count, x.shape[2:], x)
        drift = proposal.velocity(x, end) - e * proposal.score(x, end)
        before = x - h * drift + (2 * e * h) ** 0.5 * noise
        ahead = before + h * (learned.velocity(before, t) + e * learned.score(before, t))
        # the constants of both normal densities cancel
        log_step = (noise**2).sum(-1) / 2 - ((x - ahead) ** 2).sum(-1) / (4 * e * h)
        total, x = total + log_step.double(), before
    return total + _normal_log_prob(x.double())


def _normal_log_prob(x: Tensor) -> Tensor:
    return -((x**2).sum(-1) + x.shape[-1] * math.log(2 * math.pi)) / 2
