"""Ensembles of what comes next, from the process of a point source."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from invdiff.interpolants.diffusion import Epsilon
from invdiff.interpolants.integrators import check_times
from invdiff.interpolants.noise import SampleNoise
from invdiff.interpolants.point_source import PointSource
from invdiff.rng import derive_generator, draw_seeds

__all__ = ["forecast", "rollout"]


def forecast(
    process: PointSource,
    x_now: Tensor,
    times: Tensor,
    *,
    num_members: int,
    generator: torch.Generator,
    epsilon: Epsilon | None = None,
) -> Tensor:
    """Draw an ensemble of the next image given each present one.

    Args:
        process: Drift and interpolant.
        x_now: ``(batch, *shape)``.
        times: ``(steps + 1,)`` from 0 to 1, such as ``time_grid(steps, 0, 1)``.
        num_members: Of each ensemble.
        generator: On the device of the images; member m of the forecast of image i depends on
            neither number.
        epsilon: Noise of the SDE, that of the process if not given. The step from t = 0 keeps
            that of the process, as a point has no score.

    Returns:
        ``(num_members, batch, *shape)``.

    Raises:
        ValueError: No member, or times that don't lead from 0 to 1.
    """
    return rollout(
        process,
        x_now,
        times,
        num_steps=1,
        num_members=num_members,
        generator=generator,
        epsilon=epsilon,
    )[0]


def rollout(
    process: PointSource,
    x_now: Tensor,
    times: Tensor,
    *,
    num_steps: int,
    num_members: int,
    generator: torch.Generator,
    epsilon: Epsilon | None = None,
) -> Tensor:
    """Draw trajectories: each member goes on from its own last image.

    Args:
        process: Drift and interpolant.
        x_now: ``(batch, *shape)``.
        times: Of the process within a step, see ``forecast``.
        num_steps: Images of a trajectory.
        num_members: Of each ensemble.
        generator: Source of the noise, see ``forecast``.
        epsilon: Noise of the SDE, see ``forecast``.

    Returns:
        ``(num_steps, num_members, batch, *shape)``; the first images don't depend on how many.

    Raises:
        ValueError: No step or member, or times that don't lead from 0 to 1.
    """
    _check(times, num_steps, num_members)
    x = x_now.expand(num_members, *x_now.shape)
    # each present has its own source, and in it each member
    sources = [
        SampleNoise(derive_generator(seed, device=generator.device), num_members, x[:, 0])
        for seed in draw_seeds(generator, len(x_now))
    ]
    images = []
    for _ in range(num_steps):
        x = _next(process, x, times, epsilon, sources)
        images.append(x)
    return torch.stack(images)


def _next(
    process: PointSource,
    now: Tensor,
    times: Tensor,
    epsilon: Epsilon | None,
    sources: list[SampleNoise],
) -> Tensor:
    """Integrate the SDE from now ``(members, batch, *shape)``, by Euler-Maruyama."""
    start = x = now.flatten(0, 1)
    for t, end in itertools.pairwise(times):
        h = end - t
        if epsilon is None or t == 0:
            amount, drift = process.own_epsilon(t), process.drift(x, t, start)
        else:
            amount, drift = epsilon(t), process.forward_drift(x, t, start, epsilon)
        noise = torch.stack([source() for source in sources], 1).flatten(0, 1)
        x = x + h.to(x) * drift + (2 * amount * h).sqrt().to(x) * noise
    return x.reshape(now.shape)


def _check(times: Tensor, num_steps: int, num_members: int) -> None:
    if num_steps < 1 or num_members < 1:
        raise ValueError(
            f"forecast: expected at least one step and member, got {num_steps} and {num_members}"
        )
    check_times(times)
    if times[0] != 0 or times[-1] != 1:
        raise ValueError(
            "forecast: expected times from 0 to 1, such as time_grid(steps, 0, 1), got times from "
            f"{float(times[0])} to {float(times[-1])}"
        )
