"""Averages of weights whose memory is a power of the time: profiles and their inner products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["PowerProfile", "inner_products", "power_exponent", "synthesis_coefficients"]

# of the Gram matrix with unit diagonal: beyond it, snapshots tell apart rounding errors only
_SMALLEST_EIGENVALUE = 1e-13
_LONGEST = 1 / math.sqrt(12)


class PowerProfile(NamedTuple):
    """Which average of the weights is meant: its relative length, and the step it ends at."""

    length: float
    step: float


def power_exponent(length: float) -> float:
    r"""Return the :math:`\gamma` of a profile from its relative length :cite:p:`karras2024`.

    The profile :math:`p(\tau) \propto \tau^\gamma` on [0, t] has the standard deviation

    .. math:: \sigma_{rel}\, t, \qquad
        \sigma_{rel}^2 = \frac{\gamma + 1}{(\gamma + 2)^2 (\gamma + 3)}

    so :math:`\gamma` is the largest root of :math:`(\gamma + 2)^2 (\gamma + 3) \sigma_{rel}^2 =
    \gamma + 1`.

    Args:
        length: :math:`\sigma_{rel}`, such as 0.05 or 0.1, below :math:`1 / \sqrt{12}`, the
            length of the plain mean.

    Raises:
        ValueError: It is out of that range.
    """
    if not 0 < length < _LONGEST:
        raise ValueError(f"power_exponent: expected 0 < length < {_LONGEST:.3f}, got {length}")
    inverse = length**-2
    roots = np.roots([1.0, 7.0, 16.0 - inverse, 12.0 - inverse])
    return float(roots.real.max())


def inner_products(first: Sequence[PowerProfile], second: Sequence[PowerProfile]) -> Tensor:
    r"""Return the inner products of two lists of profiles, a float64 matrix.

    .. math:: \int p_a p_b = \frac{(\gamma_a + 1)(\gamma_b + 1)}{\gamma_a + \gamma_b + 1}
        \frac{(t_{<} / t_{>})^{\gamma_{>}}}{t_{>}}

    with :math:`t_{<}` and :math:`t_{>}` the earlier and the later end, and :math:`\gamma_{>}` the
    exponent of the profile that ends later.

    Raises:
        ValueError: A length out of its range, or a step that is not positive.
    """
    gamma_a, t_a = (column[:, None] for column in _parameters(first))
    gamma_b, t_b = _parameters(second)
    later = torch.maximum(t_a, t_b)
    exponent = torch.where(t_a > t_b, gamma_a, gamma_b)
    ratio = torch.minimum(t_a, t_b) / later
    return (gamma_a + 1) * (gamma_b + 1) / (gamma_a + gamma_b + 1) * ratio**exponent / later


def synthesis_coefficients(kept: Sequence[PowerProfile], wanted: PowerProfile) -> Tensor:
    r"""Return the combination of kept averages that comes closest to another :cite:p:`karras2024`.

    .. math:: \min_c \int \Big(\sum_i c_i\, p_i - p\Big)^2, \qquad \sum_i c_i = 1

    The constraint, which isn't in the paper, leaves weights that don't change as they are.

    Args:
        kept: Profiles of the averages that there are.
        wanted: That of the average to be made; one of those kept gives 1 for it, 0 for others.

    Returns:
        Float64, one coefficient for each of those kept.

    Raises:
        ValueError: Nothing is kept, a length is out of its range or a step not positive.
    """
    if not kept:
        raise ValueError("synthesis_coefficients: no averages to combine")
    gram = inner_products(kept, kept)
    target = inner_products(kept, [wanted])
    if wanted in kept:
        return torch.tensor([float(i == kept.index(wanted)) for i in range(len(kept))]).double()
    # early profiles are taller: with unit norms the rounding errors are those of the angles
    scale = gram.diagonal().rsqrt()[:, None]
    values, vectors = torch.linalg.eigh(scale * gram * scale.mT)
    inverse = torch.where(values > _SMALLEST_EIGENVALUE * values[-1], 1 / values, 0.0)
    free, ones = (
        scale * (vectors @ (inverse[:, None] * (vectors.mT @ (scale * side))))
        for side in (target, torch.ones_like(target))
    )
    return (free + ones * (1 - free.sum()) / ones.sum()).squeeze(1)


def _parameters(profiles: Sequence[PowerProfile]) -> tuple[Tensor, Tensor]:
    for profile in profiles:
        if not 0 < profile.step < math.inf:
            raise ValueError(f"PowerProfile: expected step > 0, got {profile.step}")
    gamma = [power_exponent(profile.length) for profile in profiles]
    steps = [float(profile.step) for profile in profiles]
    return torch.tensor(gamma, dtype=torch.float64), torch.tensor(steps, dtype=torch.float64)
