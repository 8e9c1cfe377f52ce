r"""The Brownian bridge diffusion model (BBDM) of :cite:t:`li2023` as an interpolant.

With its m running from 0 at the clean image to 1 at the degraded one, our time is t = 1 - m:

.. math:: x_t = (1 - m) x_1 + m x_0 + \sqrt{2 s\, m (1 - m)}\, z

where x0 is degraded and x1 clean. This is I2SB with another name of time. ``sample_bridge`` is
the reverse process: stochasticity 1 is its :math:`\eta = 1`. For :math:`\eta < 1` the published
sampler shrinks the noise that is added but not the one that it removes from the mean, which gives
too small a variance; here the mean follows, and all :math:`\eta` have the right one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.interpolants.gammas import BrownianGamma
from invdiff.interpolants.interpolant import TwoSided
from invdiff.interpolants.paths import LinearPath

__all__ = ["bbdm", "bbdm_output", "bbdm_times", "bbdm_variance"]


def bbdm(scale: float = 1.0) -> TwoSided:
    """Return the bridge.

    Args:
        scale: s > 0; the variance is s / 2 in the middle.

    Raises:
        ValueError: The scale is not positive and finite.
    """
    return TwoSided(LinearPath(), BrownianGamma(2 * scale))


def bbdm_times(num_steps: int = 1000, margin: float = 1e-3) -> Tensor:
    """Return ``num_steps + 1`` times from 0 to 1: 1 - m of the published grid, and t = 0.

    The published m are equally far apart from ``margin`` to 1 - ``margin``, each the start of a
    step; the first starts in the degraded image without its noise, so here it starts at t = 0.

    Raises:
        ValueError: Fewer than 2 steps, or a margin that is not in (0, 1/2).
    """
    if num_steps < 2 or not 0 < margin < 0.5:
        raise ValueError(
            f"bbdm_times: expected num_steps >= 2 and 0 < margin < 0.5, got {num_steps}, {margin}"
        )
    starts = torch.linspace(margin, 1 - margin, num_steps, dtype=torch.float64)
    starts[0] = 0.0
    return torch.cat([starts, starts.new_ones(1)])


def bbdm_output(x: Tensor, x1: Tensor) -> Tensor:
    """Return what the network of BBDM is to predict: x_t without the clean image.

    Args:
        x: x_t.
        x1: The clean image, or its mean given x_t.
    """
    return x - x1


def bbdm_variance(t: Tensor, end: Tensor, scale: float = 1.0) -> Tensor:
    r"""Return the variance that a step from t to the later ``end`` adds with :math:`\eta = 1`.

    .. math:: \Big(v - v' \frac{(1 - m)^2}{(1 - m')^2}\Big) \frac{v'}{v}
        = 2 s \frac{(t' - t)(1 - t')}{1 - t}, \qquad v = 2 s\, m (1 - m)

    Args:
        t: Our time, in [0, 1).
        end: Our later time.
        scale: s.
    """
    return 2 * scale * (end - t) * (1 - end) / (1 - t)
