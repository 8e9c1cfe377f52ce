"""The law that a sampler reaches, without sampling: where each step is affine, by unit vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from invdiff.interpolants import ConstantEpsilon, Process, integrate_sde
from invdiff.likelihood import Likelihood
from invdiff.priors import Denoiser, half_range
from invdiff.rng import derive_generator
from invdiff.samplers.descent import Descent

__all__ = ["UnitDraws", "affine_law", "count_draws", "law_after", "law_of_sampler",
           "sigma_points"]  # fmt: skip

# x (rows, *shape) and the streams of its rows -> x after a step
Step = Callable[[Tensor, "UnitDraws"], Tensor]


class UnitDraws:
    """Streams whose draws are 0 but for one entry in one row: row and entry move on together.

    Args:
        num_rows: Samples of the batch.
        first: Row of the first entry; rows before it draw nothing but 0.

    Attributes:
        row: Of the next entry.
    """

    def __init__(self, num_rows: int, first: int) -> None:
        self.batch_shape, self.row = (num_rows,), first

    def normal(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Return the next draws, ``(rows, *shape)``, in the type of ``like``."""
        size, rows = torch.Size(shape).numel(), self.batch_shape[0]
        draws = torch.zeros(rows, size, dtype=like.dtype)
        chosen = torch.arange(self.row, max(self.row, min(self.row + size, rows)))
        draws[chosen, chosen - self.row] = 1
        self.row += size
        return draws.reshape(rows, *shape)


def law_after(
    step: Step, mean: Tensor, covariance: Tensor, num_draws: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return mean and covariance after a step that is affine in its state and in its draws.

    Args:
        step: From a state ``(rows, d)`` and streams to the next state.
        mean: Shape ``(d,)``.
        covariance: Shape ``(d, d)``.
        num_draws: Numbers that a row draws; another step counts them if unknown.
    """
    d = len(mean)
    count = count_draws(step, mean) if num_draws is None else num_draws
    units = torch.cat([torch.zeros(1, d), torch.eye(d), torch.zeros(count, d)]).to(mean)
    ends = step(mean + units, UnitDraws(len(units), 1 + d))
    moved = ends[1:] - ends[0]
    of_state, of_draws = moved[:d], moved[d:]
    return ends[0], of_state.mT @ covariance @ of_state + of_draws.mT @ of_draws


def count_draws(step: Step, x: Tensor) -> int:
    """Return how many numbers a step draws for a state x ``(d,)``."""
    draws = UnitDraws(1, 1)
    step(x.unsqueeze(0), draws)
    return draws.row - 1


def law_of_sampler(
    sampler: Descent,
    likelihood: Likelihood,
    denoiser: Denoiser,
    mean: Tensor,
    covariance: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of what a sampler returns under a Gaussian prior.

    Args:
        sampler: One whose state is x and its streams, without a memory of the step before.
        likelihood: One problem of images ``(d,)``.
        denoiser: Of a Gaussian prior, so that every step is affine.
        mean: Of x at the highest noise level, ``(d,)``.
        covariance: Its covariance there, ``(d, d)``.
    """
    levels = half_range(denoiser) * sampler.levels()
    generator = derive_generator(0, "law-of-sampler")
    state = sampler.init(likelihood, denoiser, 1, generator=generator)
    num_draws = None
    for sigma, following in pairwise(levels):

        def step(x: Tensor, draws: UnitDraws, s: Tensor = sigma, t: Tensor = following) -> Tensor:
            begun = state._replace(x=x, streams=draws)
            return sampler.step(begun, s, t, likelihood, denoiser)[0].x

        if num_draws is None:
            num_draws = count_draws(step, mean)
        mean, covariance = law_after(step, mean, covariance, num_draws)
    return mean, covariance


def affine_law(process: Process, epsilon: float, times: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance along the times of an SDE that is affine.

    Args:
        process: On the line; the start is standard normal.
        epsilon: Amount of noise.
        times: ``(steps + 1,)``.
    """
    rows = len(times) + 1
    draws, path = UnitDraws(rows, 2), [torch.zeros(rows, 1, dtype=torch.float64)]
    path[0][1] = 1
    integrate_sde(
        process, path[0], times, epsilon=ConstantEpsilon(epsilon), method="heun",
        noise=lambda: draws.normal((1,), path[0]), callback=lambda i, end, x: path.append(x),
    )  # fmt: skip
    states = torch.stack(path)[:, :, 0]
    return states[:, 0], ((states[:, 1:] - states[:, :1]) ** 2).sum(1)


def sigma_points(count: int) -> Tensor:
    """Return ``2 count`` points of mean 0 and covariance 1: exact means of squares."""
    eye = count**0.5 * torch.eye(count, dtype=torch.float64)
    return torch.cat([eye, -eye])
