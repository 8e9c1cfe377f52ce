r"""The density of what the ODE of an interpolant samples.

Along a solution of dX/dt = b the density changes with the volume,

.. math:: \log \rho_1(X_1) = \log \rho_0(X_0) - \int_0^1 \nabla \cdot b(X_t, t)\, dt,

so a point is taken back to t = 0 together with the integral.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from invdiff.interpolants.divergence import Divergence, exact_divergence
from invdiff.interpolants.process import Field

__all__ = ["log_prob_at", "ode_log_prob", "standard_normal_log_prob"]


def ode_log_prob(
    velocity: Field,
    x: Tensor,
    base_log_prob: Callable[[Tensor], Tensor],
    solve: Callable[[Field, Tensor], Tensor],
    *,
    divergence: Divergence = exact_divergence,
) -> Tensor:
    """Return the log density of points under the ODE, ``(batch,)``, in nats.

    Args:
        velocity: b.
        x: Points ``(batch, *shape)`` where the solver starts, such as at time 1.
        base_log_prob: Log density where the solver ends, such as at time 0.
        solve: From the points to the base, for a field of vectors ``(batch, entries + 1)``; such as
            ``lambda f, y: integrate_ode(f, y, time_grid(100, 1, 0))``, or the adaptive solver.
        divergence: Exact, or an estimate that keeps the result unbiased to the order of the solver.

    Raises:
        ValueError: The base gives something else than one number for each point.
    """

    def with_volume(state: Tensor, t: Tensor) -> Tensor:
        point = state[:, :-1].reshape(x.shape)
        value, rate = divergence(velocity, point, t)
        return torch.cat([value.flatten(1), rate.unsqueeze(1)], 1)

    state = torch.cat([x.flatten(1), x.new_zeros(len(x), 1)], 1)
    arrived = solve(with_volume, state)
    # d/dt of the last entry is the divergence, so it holds minus its integral from 0 to 1
    return log_prob_at(base_log_prob, arrived[:, :-1].reshape(x.shape)) + arrived[:, -1]


def standard_normal_log_prob(x: Tensor) -> Tensor:
    """Return the log density of standard normal numbers ``(batch, *shape)``, ``(batch,)``.

    The base of interpolants that start in noise.
    """
    entries = x.flatten(1)
    return -((entries**2).sum(1) + entries.shape[1] * math.log(2 * math.pi)) / 2


def log_prob_at(log_prob: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the log density of each point of ``(batch, *shape)``.

    Raises:
        ValueError: It has another shape than ``batch``, such as a number for each entry.
    """
    value = log_prob(x)
    if value.shape != x.shape[:1]:
        raise ValueError(
            f"expected a base_log_prob of shape {tuple(x.shape[:1])} for points "
            f"{tuple(x.shape)}, got {tuple(value.shape)}"
        )
    return value
