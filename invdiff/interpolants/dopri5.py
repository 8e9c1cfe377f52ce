"""An adaptive solver of the ODE of an interpolant: each sample has its own steps."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.interpolants.process import Field
from invdiff.linalg import NumericalWarning, expand_right

__all__ = ["AdaptiveSolution", "integrate_dopri5"]

# Dormand and Prince 1980: times, weights of the stages, and the fifth minus the fourth order
_NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (-71 / 57600, 0.0, 71 / 16695, -71 / 1920, 17253 / 339200, -22 / 525, 1 / 40)
# of the step size: caution, and how far it may change at once
_SAFETY, _SMALLEST, _LARGEST = 0.9, 0.2, 10.0


class AdaptiveSolution(NamedTuple):
    """Where each sample arrived, and what it took.

    Args:
        x: ``(batch, *shape)``.
        times: Time of each sample, ``(batch,)``: the end, or less far if it warned.
        num_calls: Of the velocity, each for the whole batch.
        num_accepted: Steps of each sample, ``(batch,)``.
        num_rejected: Steps that each sample had to repeat, ``(batch,)``.
    """

    x: Tensor
    times: Tensor
    num_calls: int
    num_accepted: Tensor
    num_rejected: Tensor


def integrate_dopri5(
    velocity: Field,
    x: Tensor,
    start: float,
    end: float,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_steps: int = 1000,
) -> AdaptiveSolution:
    r"""Integrate dx/dt = b(x, t) by the pair of orders 5 and 4 of :cite:t:`dormand1980`.

    A step is accepted if the root mean square of error / (atol + rtol :math:`|x|`) over the
    entries of the sample is below 1. The last slope of a step is the first of the next.

    Args:
        velocity: b, called with one time for each member of the batch; always with all of them,
            so that it may have been told a condition.
        x: Values at the start, ``(batch, *shape)``.
        start: Time.
        end: Time, before or after.
        rtol: Relative tolerance.
        atol: Absolute tolerance.
        max_steps: At most so many, repeated ones included.

    Raises:
        ValueError: Equal times, or outside of [0, 1], tolerances that are not positive, or no step.

    Warns:
        NumericalWarning: A sample did not arrive in ``max_steps``.
    """
    within = 0 <= min(start, end) < max(start, end) <= 1
    if not (within and min(rtol, atol) > 0 and max_steps > 0):
        raise ValueError(
            "integrate_dopri5: expected two times in [0, 1], positive tolerances and max_steps "
            f">= 1, got {start}, {end}, {rtol}, {atol} and {max_steps}"
        )
    time = torch.full(x.shape[:1], start, dtype=torch.float64, device=x.device)
    slope = velocity(x, time)
    h = _first_step(velocity, x, slope, time, end, rtol, atol)
    accepted, rejected = torch.zeros_like(time, dtype=torch.int64), torch.zeros_like(h).long()
    retried, num_calls = torch.zeros_like(h, dtype=torch.bool), 2
    for _ in range(max_steps):
        open_ = time != end
        if not open_.any():
            break
        step = torch.where(h.abs() < (end - time).abs(), h, end - time)
        proposal, last_slope, error = _step(velocity, x, slope, time, step)
        num_calls += 6
        size = _size(error, torch.maximum(x.abs(), proposal.abs()), rtol, atol)
        good = open_ & (size < 1)
        # an undefined error makes the step as much shorter as is allowed
        factor = torch.where(size.isnan(), _SMALLEST, _SAFETY * size**-0.2)
        longest = torch.where(retried | ~good, 1.0, _LARGEST)
        h = torch.where(open_, step * factor.clamp(min=_SMALLEST).minimum(longest), h)
        arrived = good & (step == end - time)
        time = torch.where(arrived, end, torch.where(good, time + step, time))
        chosen = expand_right(good, x.ndim - 1)
        x, slope = torch.where(chosen, proposal, x), torch.where(chosen, last_slope, slope)
        retried = open_ & ~good
        accepted, rejected = accepted + good, rejected + retried
    _warn_of(time, end, max_steps)
    return AdaptiveSolution(x, time, num_calls, accepted, rejected)


def _step(
    velocity: Field, x: Tensor, slope: Tensor, time: Tensor, step: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the fifth-order value, the slope there, and the estimate of the error."""
    h = expand_right(step, x.ndim - 1).to(x)
    slopes, point = [slope], x
    for node, weights in zip(_NODES, _STAGES, strict=True):
        point = x + h * _combined(weights, slopes)
        slopes.append(velocity(point, time + node * step))
    return point, slopes[-1], h * _combined(_ERROR, slopes)


def _combined(weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    total = torch.zeros_like(slopes[0])
    for weight, slope in zip(weights, slopes, strict=True):
        total = total + weight * slope
    return total


def _size(value: Tensor, x: Tensor, rtol: float, atol: float) -> Tensor:
    """Return the root mean square in units of the tolerance, ``(batch,)``, float64."""
    scaled = (value / (atol + rtol * x.abs())).flatten(1).double()
    return scaled.square().mean(1).sqrt()


def _first_step(
    velocity: Field,
    x: Tensor,
    slope: Tensor,
    time: Tensor,
    end: float,
    rtol: float,
    atol: float,
) -> Tensor:
    """Guess the first step from the change of the slope over a tiny one (Hairer et al., II.4)."""
    span, sign = (end - time).abs(), (end - time).sign()
    of_x, of_slope = _size(x, x, rtol, atol), _size(slope, x, rtol, atol)
    tiny = torch.where((of_x < 1e-5) | (of_slope < 1e-5), 1e-6, 0.01 * of_x / of_slope)
    tiny = torch.minimum(tiny, span)
    moved = x + expand_right(sign * tiny, x.ndim - 1).to(x) * slope
    change = velocity(moved, time + sign * tiny) - slope
    curvature = torch.maximum(of_slope, _size(change, x, rtol, atol) / tiny)
    flat = (1e-3 * tiny).clamp(min=1e-6)
    h = torch.where(curvature <= 1e-15, flat, (0.01 / curvature) ** 0.2)
    return sign * torch.minimum(torch.minimum(100 * tiny, h), span)


def _warn_of(time: Tensor, end: float, max_steps: int) -> None:
    missing = int((time != end).sum())
    if missing:
        warnings.warn(
            f"integrate_dopri5: {missing} of {len(time)} samples did not reach t = {end} in "
            f"{max_steps} steps",
            NumericalWarning,
            stacklevel=3,
        )
