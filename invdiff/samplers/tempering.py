"""How far particles can be reweighted before their effective sample size falls below a floor."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from invdiff.samplers.resampling import effective_sample_size

__all__ = ["largest_step"]


def largest_step(
    log_weights: Callable[[Tensor], Tensor],
    low: Tensor,
    high: Tensor,
    floor: float,
    *,
    num_halvings: int = 30,
) -> Tensor:
    """Return how far to go from low towards high with the effective sample size above the floor.

    By bisection, each problem for itself, without a value that the host would wait for.

    Args:
        log_weights: From a number per problem to log weights ``(N, *problems)``.
        low: Shape ``problems``; returned where already this falls below the floor.
        high: Shape ``problems``; returned where even this stays above.
        floor: Of the effective sample size, as a fraction of N.
        num_halvings: Steps of the bisection.
    """
    enough = effective_sample_size(log_weights(high)) >= floor
    top = high
    for _ in range(num_halvings):
        middle = (low + high) / 2
        above = effective_sample_size(log_weights(middle)) >= floor
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return torch.where(enough, top, low)
