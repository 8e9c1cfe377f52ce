"""The diffusion on which the variational view is checked: variance-preserving, in angles."""

from __future__ import annotations

import math

from torch import Tensor

from invdiff.interpolants import OneSided
from invdiff.interpolants.paths import TrigonometricPath
from invdiff.samplers import linear_beta_sigmas

__all__ = ["DIFFUSION", "chain_times"]

# x_t = sin x_1 + cos z at the angle pi t / 2, noise at t = 0
DIFFUSION = OneSided(TrigonometricPath())


def chain_times(num_steps: int) -> Tensor:
    """Return times of ``DIFFUSION`` at the levels of a linear-beta chain, increasing."""
    return (1 + linear_beta_sigmas(num_steps) ** 2).rsqrt().asin() * 2 / math.pi
