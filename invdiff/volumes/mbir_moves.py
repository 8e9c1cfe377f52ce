"""The moves of DiffusionMBIR along the score of the prior: predictor and corrector."""

from __future__ import annotations

from typing import Literal, NamedTuple

from torch import Tensor

from invdiff.linalg import inner
from invdiff.samplers.base import denoised
from invdiff.volumes.sampler import Problem3D

__all__ = ["CorrectorLevel", "Moved", "predict_and_correct"]

CorrectorLevel = Literal["next", "same"]


class Moved(NamedTuple):
    """Slices after predictor and corrector.

    Args:
        x: Noisy volume.
        mean: What the network last made of it.
        level: Noise level it was told, in units of the image.
        time: Squared noise level that was undone, one a sample.
    """

    x: Tensor
    mean: Tensor
    level: Tensor
    time: Tensor


def predict_and_correct(
    number: int,
    x: Tensor,
    levels: tuple[Tensor, Tensor],
    problem: Problem3D,
    *,
    snr: float,
    clip: bool,
    corrector_level: CorrectorLevel,
) -> Moved:
    r"""Return the slices one noise level further :cite:p:`song2021`.

    .. math:: x &\leftarrow x + (\sigma^2 - \sigma'^2) s(x, \sigma) +
        \sqrt{\sigma^2 - \sigma'^2}\, n \\
        x &\leftarrow x + \epsilon s(x, \cdot) + \sqrt{2 \epsilon}\, n', \qquad
        \epsilon = 2 (r \|n'\| / \|s\|)^2

    with the score :math:`s = (D - x) / \sigma^2` and norms averaged over the slices of a volume.

    Args:
        number: Of the step.
        x: Shape ``(samples, slices, rows, columns)``.
        levels: sigma and sigma' in units of the image; sigma' = 0 at the end.
        problem: What stays the same.
        snr: r.
        clip: Whether D is clamped to the data range.
        corrector_level: Noise level that the corrector's network is told: the "next" one, sigma',
            which leaves nothing to correct at the end; or the "same" as the predictor's.
    """
    level, target = (s.to(x.device, x.dtype.to_real()) for s in levels)
    time = level**2 - target**2
    mean = denoised(problem.denoiser, x, level, clip=clip)
    noise = problem.noise.normal(number, x, label="predictor")
    x = pinned(x + time * (mean - x) / level**2 + time.sqrt() * noise, problem)
    if corrector_level == "next":
        if levels[1] == 0:
            return Moved(x, mean, level, time)
        level = target
    mean = denoised(problem.denoiser, x, level, clip=clip)
    score = (mean - x) / level**2
    noise = problem.noise.normal(number, x, label="corrector")
    step = 2 * (snr * _mean_norm(noise, problem) / _mean_norm(score, problem)) ** 2
    x = pinned(x + step * score + (2 * step).sqrt() * noise, problem)
    return Moved(x, mean, level, time + step)


def pinned(x: Tensor, problem: Problem3D) -> Tensor:
    """Return x with the slices that are known at their values."""
    return x if problem.known is None else problem.known.pin(x)


def _mean_norm(v: Tensor, problem: Problem3D) -> Tensor:
    """Return the mean norm of the slices of each volume, as one batch of the released code."""
    norms = inner(v, v, 2).sqrt().sum(-3, keepdim=True)
    return problem.split.all_sum(norms) / problem.split.total
