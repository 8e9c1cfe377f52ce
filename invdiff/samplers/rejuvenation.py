"""Moves of particles that leave their density as it is."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invdiff.linalg import expand_right
from invdiff.rng import Population
from invdiff.samplers.data_covariance import DataCovariance
from invdiff.samplers.tempered_target import TemperedTarget

__all__ = ["langevin", "metropolis"]


def langevin(
    x: Tensor, target: TemperedTarget, covariance: DataCovariance, step: float, source: Population
) -> Tensor:
    r"""Move particles by :math:`(1 - e^{-h}) C \nabla \log Q + \sqrt{1 - e^{-2h}}\, C^{1/2} n`.

    Preconditioned Langevin dynamics integrated exactly for a Gaussian Q of covariance C, which it
    leaves invariant at any h; where Q differs, its error vanishes with h.

    Args:
        x: Shape ``(N, *problems, *image_shape)``.
        target: Q.
        covariance: C.
        step: h.
        source: Draws n.
    """
    return x + covariance.move(target.score(x), step, source)


def metropolis(
    x: Tensor, target: TemperedTarget, covariance: DataCovariance, step: float, source: Population
) -> tuple[Tensor, Tensor]:
    """Propose a move of ``langevin`` and accept it by the rule that makes Q invariant exactly.

    The rule needs C itself: known SVD, or conjugate gradients that have converged.

    Returns:
        The particles, and the share of accepted moves, shape ``problems``.
    """
    drift, width = -math.expm1(-step), -math.expm1(-2 * step)
    slope = target.score(x)
    proposed = x + covariance.move(slope, step, source)
    back = target.score(proposed)

    def log_move(start: Tensor, end: Tensor, slope: Tensor) -> Tensor:
        return -covariance.inverse_norm(end - start - drift * covariance.apply(slope)) / (2 * width)

    ratio = target.log_density(proposed) - target.log_density(x)
    ratio = ratio + log_move(proposed, x, back) - log_move(x, proposed, slope)
    accepted = source.uniform(len(x), x.device).log() < ratio
    mask = expand_right(accepted, x.ndim - accepted.ndim)
    return torch.where(mask, proposed, x), accepted.double().mean(0)
