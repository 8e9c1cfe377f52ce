r"""The amount of noise epsilon(t) of the SDEs of an interpolant.

Any epsilon(t) >= 0 gives the same marginals. It is half of the squared diffusion :math:`g^2` of
score-based models, and the "D" of SiT :cite:p:`ma2024sit`, where drift and noise are
:math:`b + D s` and :math:`\sqrt{2 D}`; their alpha is our beta, their sigma our gamma.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.interpolants.interpolant import Interpolant

__all__ = [
    "ConstantEpsilon",
    "CosineEpsilon",
    "Epsilon",
    "LinearEpsilon",
    "NoiseScaleEpsilon",
    "PointSourceEpsilon",
    "ScoreFreeEpsilon",
    "SineSquaredEpsilon",
    "TabulatedEpsilon",
]

# of a difference of numbers of order 1
_ROUNDING = 1e-6

# t -> epsilon(t) >= 0, of the shape of t
Epsilon = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ConstantEpsilon:
    """The same at all times.

    Args:
        value: epsilon >= 0; 0 turns the SDE into the ODE.

    Raises:
        ValueError: Negative or not finite.
    """

    value: float

    def __post_init__(self) -> None:
        _check(self, self.value)

    def __call__(self, t: Tensor) -> Tensor:
        """Return epsilon(t)."""
        return torch.full_like(t, self.value)


@dataclass(frozen=True)
class _Scaled:
    scale: float = 1.0

    def __post_init__(self) -> None:
        _check(self, self.scale)


@dataclass(frozen=True)
class LinearEpsilon(_Scaled):
    r"""Noise that fades, :math:`\epsilon = c (1 - t)`.

    Args:
        scale: c >= 0.

    Raises:
        ValueError: Negative or not finite.
    """

    def __call__(self, t: Tensor) -> Tensor:
        """Return epsilon(t)."""
        return self.scale * (1 - t)


@dataclass(frozen=True)
class CosineEpsilon(_Scaled):
    r"""Noise that fades smoothly, :math:`\epsilon = c\, (1 + \cos \pi t)^2 / 4`.

    The "decreasing" of SiT.

    Args:
        scale: c >= 0.

    Raises:
        ValueError: Negative or not finite.
    """

    def __call__(self, t: Tensor) -> Tensor:
        """Return epsilon(t)."""
        return self.scale * (1 + (math.pi * t).cos()) ** 2 / 4


@dataclass(frozen=True)
class SineSquaredEpsilon(_Scaled):
    r"""Noise between the ends only, :math:`\epsilon = c \sin^2 \pi t`.

    Args:
        scale: c >= 0.

    Raises:
        ValueError: Negative or not finite.
    """

    def __call__(self, t: Tensor) -> Tensor:
        """Return epsilon(t)."""
        return self.scale * (math.pi * t).sin() ** 2


@dataclass(frozen=True)
class NoiseScaleEpsilon:
    r"""As much as the interpolant carries, :math:`\epsilon = c \gamma`; SiT's "sigma".

    Times the score -eta / gamma it is finite everywhere.

    Args:
        interpolant: Gives gamma.
        scale: c >= 0.

    Raises:
        ValueError: Negative or not finite.
    """

    interpolant: Interpolant
    scale: float = 1.0

    def __post_init__(self) -> None:
        _check(self, self.scale)

    def __call__(self, t: Tensor) -> Tensor:
        """Return epsilon(t)."""
        return self.scale * self.interpolant.at(t).gamma


@dataclass(frozen=True)
class ScoreFreeEpsilon:
    r"""The noise whose backward SDE knows nothing of the target; SiT's "SBDM".

    .. math:: \epsilon = \frac{\beta'}{\beta} \gamma^2 - \gamma\gamma'
        = \gamma^2 \frac{d}{dt} \log \frac{\beta}{\gamma}

    The velocity given x0 is :math:`\alpha' x_0 + \tfrac{\beta'}{\beta} (x - \alpha x_0) +
    \epsilon s`, so :math:`b - \epsilon s` is linear. Without x0 this is the noising process
    of score-based models; it diverges at t = 0, where beta is 0: as 1 / t for the linear path.
    Of an interpolant that starts in a point x0, the forward SDE is the Foellmer process,
    which of all epsilon has the smallest divergence from that reference :cite:p:`chen2024`.

    Args:
        interpolant: Its beta / gamma must not decrease.
    """

    interpolant: Interpolant

    def __call__(self, t: Tensor) -> Tensor:
        """Return epsilon(t).

        Raises:
            ValueError: Where beta is 0, or beta / gamma decreases.
        """
        c = self.interpolant.at(t)
        if not (c.beta > 0).all():
            raise ValueError(f"ScoreFreeEpsilon: diverges where beta is 0, start later than {t}")
        epsilon = c.beta_dot / c.beta * c.gamma**2 - c.gamma_product
        if (epsilon < -_ROUNDING).any():
            raise ValueError(f"ScoreFreeEpsilon: expected beta / gamma to increase at t = {t}")
        return epsilon.clamp(min=0)


@dataclass(frozen=True)
class PointSourceEpsilon(_Scaled):
    r"""That of ``foellmer``, :math:`\epsilon = \sigma^2 (1 - t)^2 / 2 = \gamma^2 / 2t`.

    With :math:`\gamma z = \sigma (1 - t) W_t`, W a Brownian motion, the forward SDE has the
    noise of the interpolant itself. Its drift is the mean of :math:`\alpha' x_0 + \beta' x_1 -
    \sigma W_t` and finite at t = 0, where :math:`\epsilon = \gamma\gamma'`.

    Args:
        scale: sigma >= 0.

    Raises:
        ValueError: Negative or not finite.
    """

    def __call__(self, t: Tensor) -> Tensor:
        """Return epsilon(t)."""
        return self.scale**2 * (1 - t) ** 2 / 2


@dataclass(frozen=True, eq=False)
class TabulatedEpsilon:
    """Straight lines between measured values, constant outside.

    Args:
        times: Two or more, increasing.
        values: epsilon >= 0 at these times.

    Raises:
        ValueError: Other shapes, times that do not increase, values that are negative or infinite.
    """

    times: Tensor
    values: Tensor

    def __post_init__(self) -> None:
        if self.times.ndim != 1 or len(self.times) < 2 or self.times.shape != self.values.shape:
            raise ValueError(
                f"TabulatedEpsilon: expected as many times as values, at least 2, got "
                f"{tuple(self.times.shape)} and {tuple(self.values.shape)}"
            )
        if not (self.times.diff() > 0).all():
            raise ValueError("TabulatedEpsilon: expected increasing times")
        if not ((self.values >= 0) & self.values.isfinite()).all():
            raise ValueError("TabulatedEpsilon: expected finite values >= 0")

    def __call__(self, t: Tensor) -> Tensor:
        """Return epsilon(t)."""
        times, values = self.times.to(t), self.values.to(t)
        right = torch.searchsorted(times, t.contiguous()).clamp(1, len(times) - 1)
        left = right - 1
        share = ((t - times[left]) / (times[right] - times[left])).clamp(0, 1)
        return torch.lerp(values[left], values[right], share)


def _check(epsilon: object, value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"{type(epsilon).__name__}: expected a finite number >= 0, got {value}")
