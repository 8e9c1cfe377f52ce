"""A process between two Gaussians, and the law that an affine sampler has without sampling."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.interpolants import ConstantEpsilon, MixtureProcess, Process, TwoSided, integrate_sde
from invdiff.priors import GaussianPrior

__all__ = ["affine_law", "shifted_gaussian"]


def shifted_gaussian() -> MixtureProcess:
    """Return the process from N(0, 1) to N(1, 1/2) on the line, with a Brownian bridge."""
    zero = torch.zeros(1, dtype=torch.float64)
    return MixtureProcess(TwoSided(), GaussianPrior(zero + 1, 0.5), GaussianPrior(zero, 1.0))


def affine_law(process: Process, epsilon: float, times: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance along the times of an SDE that is affine, without sampling.

    Each row of the batch gets one unit of one source of chance: the start, or one step's noise.

    Args:
        process: On the line; the start is standard normal.
        epsilon: Amount of noise.
        times: ``(steps + 1,)``.
    """
    steps = len(times) - 1
    unit = torch.eye(steps + 2, dtype=torch.float64)[:, :, None]
    draws = iter(unit[2:])
    path = [unit[1]]
    integrate_sde(
        process,
        unit[1],
        times,
        epsilon=ConstantEpsilon(epsilon),
        noise=lambda: next(draws),
        method="heun",
        callback=lambda i, end, x: path.append(x),
    )
    states = torch.stack(path)[:, :, 0]
    return states[:, 0], ((states[:, 1:] - states[:, :1]) ** 2).sum(1)
