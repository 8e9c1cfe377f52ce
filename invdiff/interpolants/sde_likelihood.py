r"""The density of what the forward SDE of an interpolant samples.

Along the backward SDE, with the true fields,

.. math:: d \log \rho = -(\nabla \cdot b_F + \epsilon |s|^2)\, dt
    + \sqrt{2 \epsilon}\, s \cdot dW_B, \qquad b_F = b + \epsilon s,

(:math:`dt < 0`; Ito's formula and the Fokker-Planck equation). So the log weight

.. math:: A = \log \rho_0(X_0) - \int (\nabla \cdot b_F + \epsilon |s|^2)\, dt
    - \int \sqrt{2 \epsilon}\, s \cdot dW

of a path that runs back from x is :math:`\log \rho_1(x)`, whatever the noise. With learned fields
it varies, and by the theorems of Feynman and Kac and of Girsanov :math:`E[e^A]` is the density of
what the forward SDE with the learned :math:`b_F` samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.interpolants.diffusion import Epsilon
from invdiff.interpolants.divergence import Divergence, exact_divergence
from invdiff.interpolants.integrators import check_times
from invdiff.interpolants.likelihood import log_prob_at
from invdiff.interpolants.noise import SampleNoise
from invdiff.interpolants.process import Process, velocity_and_score
from invdiff.linalg import inner

__all__ = ["PathWeights", "sampler_log_prob", "sde_log_prob"]


class PathWeights(NamedTuple):
    """Log weights of backward paths, ``(batch, paths)``, in nats."""

    log_weights: Tensor

    @property
    def log_prob(self) -> Tensor:
        """Log of the mean weight, ``(batch,)``; the mean weight itself is unbiased."""
        return self.log_weights.logsumexp(1) - math.log(self.log_weights.shape[1])

    @property
    def mean(self) -> Tensor:
        """Mean log weight, ``(batch,)``; on average at most the log density."""
        return self.log_weights.mean(1)

    @property
    def variance(self) -> Tensor:
        """Variance of the log weights over paths, ``(batch,)``; 0 if all is exact.

        Raises:
            ValueError: Fewer than two paths.
        """
        if self.log_weights.shape[1] < 2:
            raise ValueError("PathWeights: expected at least 2 paths for a variance, got 1")
        return self.log_weights.var(1)


def sde_log_prob(
    process: Process,
    x: Tensor,
    base_log_prob: Callable[[Tensor], Tensor],
    times: Tensor,
    num_paths: int,
    *,
    epsilon: Epsilon,
    generator: torch.Generator,
    divergence: Divergence = exact_divergence,
) -> PathWeights:
    """Weigh paths of the backward SDE that start in given points, by the formula above.

    Args:
        process: Gives b and s.
        x: Points at ``times[0]``, ``(batch, *shape)``.
        base_log_prob: Log density at ``times[-1]``.
        times: ``(steps + 1,)``, decreasing; the fields are not asked at the last one.
        num_paths: For each point.
        epsilon: Amount of noise.
        generator: Source of a stream for each point.
        divergence: Of the forward drift, for ``(batch * num_paths, *shape)``.

    Raises:
        ValueError: Times that do not decrease, or no path.
    """
    state, noise = _started(x, times, num_paths, generator)
    weights = state.new_zeros(len(state))
    for i in range(len(times) - 1):
        t, h, e = times[i], (times[i] - times[i + 1]).to(x), epsilon(times[i]).to(x)

        def forward_drift(point: Tensor, t: Tensor, e: Tensor = e) -> Tensor:
            b, s = velocity_and_score(process, point, t)
            return b + e * s

        drift, rate = divergence(forward_drift, state, t)
        s, z = process.score(state, t), noise().flatten(0, 1)
        size = _dot(s, s)
        weights = weights - h * (rate + e * size) - (2 * e * h).sqrt() * _dot(s, z)
        state = state - h * (drift - 2 * e * s) + (2 * e * h).sqrt() * z
    return _finished(weights, state, base_log_prob, num_paths)


def sampler_log_prob(
    process: Process,
    x: Tensor,
    base_log_prob: Callable[[Tensor], Tensor],
    times: Tensor,
    num_paths: int,
    *,
    epsilon: Epsilon,
    generator: torch.Generator,
) -> PathWeights:
    r"""Weigh paths by the steps of the Euler-Maruyama sampler itself; needs no divergence.

    The path is drawn by backward steps :math:`p_B` and weighed by the ratio of the steps
    :math:`p_F` that ``integrate_sde`` makes on the same grid:

    .. math:: A = \log \rho_0(X_0) + \sum_k \log p_F(X_{k+1} | X_k) - \log p_B(X_k | X_{k+1})

    so :math:`E[e^A]` is exactly the density of its output, with the error of the steps in it.

    Args:
        process: Gives b and s, exact or learned.
        x: Points at ``times[0]``, ``(batch, *shape)``.
        base_log_prob: Log density at ``times[-1]``.
        times: ``(steps + 1,)``, decreasing: the grid of the sampler from its end.
        num_paths: For each point.
        epsilon: Amount of noise, positive but at ``times[0]``.
        generator: Source of a stream for each point.

    Raises:
        ValueError: Times that do not decrease, no path, or a step without noise.
    """
    later, noise = _started(x, times, num_paths, generator)
    weights = later.new_zeros(len(later))
    b, s = velocity_and_score(process, later, times[0])
    for i in range(len(times) - 1):
        t, h, amount = times[i + 1], (times[i] - times[i + 1]).to(x), epsilon(times[i + 1])
        # where the times are, so that the device isn't waited for
        if not amount > 0:
            raise ValueError(f"sampler_log_prob: expected epsilon > 0 at t = {float(t)}")
        e = amount.to(x)
        z = noise().flatten(0, 1)
        earlier = later - h * (b - e * s) + (2 * e * h).sqrt() * z
        b, s = velocity_and_score(process, earlier, t)
        miss = later - earlier - h * (b + e * s)
        weights = weights + _dot(z, z) / 2 - _dot(miss, miss) / (4 * e * h)
        later = earlier
    return _finished(weights, later, base_log_prob, num_paths)


def _started(
    x: Tensor, times: Tensor, num_paths: int, generator: torch.Generator
) -> tuple[Tensor, SampleNoise]:
    check_times(times)
    if times[-1] > times[0] or num_paths < 1:
        raise ValueError(
            f"expected decreasing times and num_paths >= 1, got {times.tolist()} and {num_paths}"
        )
    paths = x.unsqueeze(1).expand(-1, num_paths, *x.shape[1:])
    return paths.flatten(0, 1), SampleNoise(generator, len(x), paths)


def _finished(
    weights: Tensor, state: Tensor, base_log_prob: Callable[[Tensor], Tensor], num_paths: int
) -> PathWeights:
    return PathWeights((weights + log_prob_at(base_log_prob, state)).reshape(-1, num_paths))


def _dot(u: Tensor, v: Tensor) -> Tensor:
    """Return the inner products of the members of two batches, ``(batch,)``."""
    return inner(u, v, u.ndim - 1).flatten()
