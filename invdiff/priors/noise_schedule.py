"""The noise levels of discrete training times, from the names of diffusers, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["discrete_sigmas"]

_Schedule = Callable[[int, float, float], Tensor]


def discrete_sigmas(settings: Mapping[str, Any]) -> tuple[float, ...]:
    r"""Return :math:`\sqrt{(1 - \bar\alpha_t) / \bar\alpha_t}` for t = 0, 1, ...

    A last time of infinite sigma is left out: with ``rescale_betas_zero_snr``, or where the last
    of the trained betas is 1.

    Args:
        settings: ``num_train_timesteps``, ``beta_schedule``, ``beta_start``, ``beta_end``,
            ``trained_betas`` and ``rescale_betas_zero_snr``, with the defaults of diffusers.

    Raises:
        ValueError: A schedule that isn't known, betas that aren't in (0, 1), or fewer than two
            finite levels.
    """
    betas, rescaled = _betas(settings), bool(settings.get("rescale_betas_zero_snr"))
    betas = betas[:-1] if not rescaled and (betas[-1:] == 1).any() else betas
    if len(betas) < 2 + rescaled or not ((betas > 0) & (betas < 1)).all():
        raise ValueError(
            "scheduler: expected betas in (0, 1) of two finite noise levels or more, "
            f"got {[float(f'{beta:.3g}') for beta in betas[:3]]}, ..., {len(betas)} in all"
        )
    # the sum of -ln(1 - beta): 1 - abar would have few digits left at early times
    total = -(-betas).log1p().cumsum(0)
    if rescaled:
        # the root of abar goes to 0 at the last time, and stays what it is at the first
        root = (-total / 2).exp()
        kept = root[0] * (root[:-1] - root[-1]) / (root[0] - root[-1])
        total = -2 * kept.log()
    return tuple(total.expm1().sqrt().tolist())


def _betas(settings: Mapping[str, Any]) -> Tensor:
    name = settings.get("beta_schedule", "linear")
    given = settings.get("trained_betas")
    try:
        if given is not None:
            return torch.tensor([float(beta) for beta in given], dtype=torch.float64)
        if name not in _SCHEDULES:
            raise ValueError(f"expected beta_schedule of {', '.join(_SCHEDULES)}, got {name!r}")
        steps = settings.get("num_train_timesteps", 1000)
        if not isinstance(steps, int) or isinstance(steps, bool) or steps < 2:
            raise ValueError(f"expected num_train_timesteps >= 2, got {steps!r}")
        ends = settings.get("beta_start", 1e-4), settings.get("beta_end", 0.02)
        return _SCHEDULES[name](steps, float(ends[0]), float(ends[1]))
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"scheduler: {' '.join(str(error).split())}") from error


def _linear(steps: int, start: float, end: float) -> Tensor:
    return torch.linspace(start, end, steps, dtype=torch.float64)


def _scaled_linear(steps: int, start: float, end: float) -> Tensor:
    return _linear(steps, math.sqrt(start), math.sqrt(end)) ** 2


def _sigmoid(steps: int, start: float, end: float) -> Tensor:
    return _linear(steps, -6, 6).sigmoid() * (end - start) + start


def _cosine(steps: int, start: float, end: float) -> Tensor:
    time = torch.arange(steps + 1, dtype=torch.float64) / steps
    kept = ((time + 0.008) / 1.008 * math.pi / 2).cos() ** 2
    return (1 - kept[1:] / kept[:-1]).clamp(max=0.999)


_SCHEDULES: dict[str, _Schedule] = {
    "linear": _linear,
    "scaled_linear": _scaled_linear,
    "sigmoid": _sigmoid,
    "squaredcos_cap_v2": _cosine,
}
