"""Weights of particles, and how to draw the next generation by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from invdiff.linalg import expand_right
from invdiff.rng import Population

__all__ = ["Scheme", "ancestors", "effective_sample_size", "take"]

Scheme = Literal["systematic", "stratified", "multinomial", "residual"]


def effective_sample_size(log_weights: Tensor) -> Tensor:
    r"""Return :math:`(\sum w)^2 / (N \sum w^2)`, from 1/N to 1, over the first axis."""
    count = log_weights.shape[0]
    return torch.exp(2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0)) / count


def take(values: Tensor, index: Tensor) -> Tensor:
    """Follow the index ``(M, *problems)`` into values ``(N, *problems, ...)``."""
    return torch.take_along_dim(values, expand_right(index, values.ndim - index.ndim), dim=0)


def ancestors(
    log_weights: Tensor, source: Population, scheme: Scheme = "systematic", num: int | None = None
) -> Tensor:
    r"""Draw whom each particle of the next generation descends from.

    Every scheme is unbiased: particle k is drawn ``num`` :math:`w_k` times on average. See
    :cite:t:`douc2005`; systematic draws are the least noisy, multinomial ones are independent.

    Args:
        log_weights: Shape ``(N, *problems)``, of any normalisation.
        source: The streams of the problems.
        scheme: How the uniforms of the inverse distribution function are placed.
        num: Size of the next generation, N if not given.

    Returns:
        Indices ``(num, *problems)``.

    Raises:
        ValueError: An unknown scheme.
    """
    if scheme not in get_args(Scheme):
        raise ValueError(f"resampling: expected one of {get_args(Scheme)}, got {scheme!r}")
    count = num or log_weights.shape[0]
    weights = log_weights.double().softmax(0)
    if scheme == "residual":
        return _residual(weights, source, count)
    return _inverse(weights, _POSITIONS[scheme](source, count, log_weights.device))


def _systematic(source: Population, count: int, device: torch.device) -> Tensor:
    first = source.uniform(1, device)
    steps = torch.arange(count, device=device, dtype=torch.float64)
    return (steps.reshape(-1, *(1,) * (first.ndim - 1)) + first) / count


def _stratified(source: Population, count: int, device: torch.device) -> Tensor:
    within = source.uniform(count, device)
    steps = torch.arange(count, device=device, dtype=torch.float64)
    return (steps.reshape(-1, *(1,) * (within.ndim - 1)) + within) / count


def _multinomial(source: Population, count: int, device: torch.device) -> Tensor:
    return source.uniform(count, device)


_POSITIONS: dict[str, Callable[[Population, int, torch.device], Tensor]] = {
    "systematic": _systematic,
    "stratified": _stratified,
    "multinomial": _multinomial,
}


def _inverse(weights: Tensor, positions: Tensor) -> Tensor:
    """Return the first index whose cumulative weight exceeds the position."""
    cumulative = weights.cumsum(0).movedim(0, -1).contiguous()
    index = torch.searchsorted(cumulative, positions.movedim(0, -1).contiguous(), right=True)
    # rounding may leave the last cumulative weight below 1
    return index.clamp(max=weights.shape[0] - 1).movedim(-1, 0)


def _residual(weights: Tensor, source: Population, count: int) -> Tensor:
    """Keep floor(count w) copies of each, and draw the rest by the remainders."""
    copies = (weights * count).floor()
    rest = weights * count - copies
    missing = count - copies.sum(0)
    drawn = _inverse(rest / rest.sum(0).clamp(min=1e-300), source.uniform(count, weights.device))
    kept = _inverse(copies / copies.sum(0).clamp(min=1), _slots(copies, count))
    # the first places go to the copies, what is missing to the draws
    place = torch.arange(count, device=weights.device).reshape(-1, *(1,) * (weights.ndim - 1))
    return torch.where(place < count - missing, kept, drawn)


def _slots(copies: Tensor, count: int) -> Tensor:
    """Return positions in the middle of each copy's share of the copies' distribution."""
    place = torch.arange(count, device=copies.device, dtype=torch.float64)
    place = place.reshape(-1, *(1,) * (copies.ndim - 1)) + 0.5
    return place / copies.sum(0).clamp(min=1)
