"""Noise levels of variance-preserving diffusions with linearly growing betas."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["linear_beta_sigmas"]

# below this share of signal the levels are spaced in time
_LITTLE_SIGNAL = 0.01


def linear_beta_sigmas(
    num_steps: int, beta_first: float = 1e-4, beta_last: float = 0.02, num_times: int = 999
) -> Tensor:
    r"""Return ``num_steps`` decreasing noise levels of a linear-beta schedule; float64.

    .. math:: \sigma_t = \sqrt{(1 - \bar\alpha_t) / \bar\alpha_t},\qquad
        \bar\alpha_t = \textstyle\prod_{u \le t} (1 - \beta_u)

    Of the times 1 ... ``num_times`` those are kept at which the share of signal
    :math:`\sqrt{\bar\alpha}` has fallen by an equal step since the last one, and where it is below
    0.01 equally spaced times: the spacing of the code of :cite:t:`cardoso2024`. More levels than
    that leaves room for fill the times between.

    Args:
        num_steps: Levels, at most ``num_times``.
        beta_first: beta of the least noisy time; larger than ``beta_last`` for a reversed schedule.
        beta_last: beta of the noisiest time.
        num_times: Times of the schedule above its noise-free start.

    Raises:
        ValueError: A beta outside (0, 1), or a number of steps out of its range.
    """
    if not (0 < beta_first < 1 and 0 < beta_last < 1 and 2 <= num_steps <= num_times):
        raise ValueError(
            f"sigmas: expected betas in (0, 1) and 2 <= num_steps <= {num_times}, "
            f"got {beta_first}, {beta_last}, {num_steps}"
        )
    betas = torch.linspace(beta_first, beta_last, num_times, dtype=torch.float64)
    squared = torch.cat([betas.new_ones(1), 1 - betas]).cumprod(0)
    times = _times(squared.sqrt().tolist(), num_steps)
    return ((1 - squared[times]) / squared[times]).sqrt().flip(0)


def _times(signal: list[float], num_steps: int) -> Tensor:
    """Return the kept times, increasing; signal decreases from 1 at time 0."""
    last = len(signal) - 1
    end = next((t for t, share in enumerate(signal) if share < _LITTLE_SIGNAL), last)
    drop = (1 - signal[end]) / num_steps
    kept = [0]
    for t in range(1, end):
        if signal[kept[-1]] - signal[t] >= drop:
            kept.append(t)
    # times are whole, so the drops overshoot: the levels left over go to the noisy end, and to
    # wherever there is a time left if that has too few
    missing = num_steps + 1 - len(kept)
    tail = list(range(kept[-1] + 1, last + 1))
    free = tail if len(tail) >= missing else sorted(set(range(1, last + 1)) - set(kept))
    places = torch.linspace(0, len(free), missing + 1, dtype=torch.float64)[1:].ceil() - 1
    return torch.tensor(sorted(kept[1:] + [free[int(k)] for k in places]))
