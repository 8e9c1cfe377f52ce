r"""How noise enters with time: the forward SDEs of :cite:t:`song2021`.

Each is linear, :math:`dx = f(t)\, x\, dt + g(t)\, dw` on t in [0, 1], so that
:math:`x_t = a(t)\, x_0 + s(t)\, n`. Times are 0-dimensional or a batch, in any float dtype.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

__all__ = ["VE", "VP", "Schedule", "SubVP"]


class Schedule(abc.ABC):
    """A linear forward SDE with a known transition from time 0."""

    @abc.abstractmethod
    def scale(self, t: Tensor) -> Tensor:
        """Return a(t), the factor of the data."""

    @abc.abstractmethod
    def std(self, t: Tensor) -> Tensor:
        """Return s(t), the standard deviation of the noise in x_t."""

    @abc.abstractmethod
    def drift_rate(self, t: Tensor) -> Tensor:
        """Return f(t)."""

    @abc.abstractmethod
    def diffusion(self, t: Tensor) -> Tensor:
        """Return g(t)."""

    @abc.abstractmethod
    def time_of_sigma(self, sigma: Tensor) -> Tensor:
        """Return the time at which ``sigma(t)`` is the given value, not limited to [0, 1]."""

    def sigma(self, t: Tensor) -> Tensor:
        """Return s(t) / a(t), the standard deviation of the noise in units of the data."""
        return self.std(t) / self.scale(t)


@dataclass(frozen=True)
class _LinearBeta(Schedule):
    beta_min: float = 0.1
    beta_max: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.beta_min <= self.beta_max < math.inf:
            raise ValueError(
                f"{type(self).__name__}: expected 0 < beta_min <= beta_max, "
                f"got {self.beta_min} and {self.beta_max}"
            )

    def beta(self, t: Tensor) -> Tensor:
        """Return the rate of noise, which grows linearly."""
        return self.beta_min + t * (self.beta_max - self.beta_min)

    def integral(self, t: Tensor) -> Tensor:
        """Return the integral of beta from 0 to t."""
        return t * self.beta_min + t**2 * (self.beta_max - self.beta_min) / 2

    @override
    def scale(self, t: Tensor) -> Tensor:
        return (-self.integral(t) / 2).exp()

    @override
    def drift_rate(self, t: Tensor) -> Tensor:
        return -self.beta(t) / 2

    def _time_of_integral(self, integral: Tensor) -> Tensor:
        slope = self.beta_max - self.beta_min
        # the root of slope t^2 / 2 + beta_min t = integral, in the form that allows slope = 0
        root = (self.beta_min**2 + 2 * slope * integral).sqrt()
        return 2 * integral / (self.beta_min + root)


@dataclass(frozen=True)
class VP(_LinearBeta):
    r"""Variance preserving: :math:`dx = -\tfrac12 \beta x\, dt + \sqrt\beta\, dw`.

    .. math:: \beta(t) = \beta_{min} + t (\beta_{max} - \beta_{min}), \quad
        a = e^{-\frac12 \int_0^t \beta}, \quad s^2 = 1 - a^2

    Args:
        beta_min: Rate at time 0.
        beta_max: Rate at time 1.

    Raises:
        ValueError: ``0 < beta_min <= beta_max`` doesn't hold.
    """

    @override
    def std(self, t: Tensor) -> Tensor:
        return (-torch.expm1(-self.integral(t))).sqrt()

    @override
    def diffusion(self, t: Tensor) -> Tensor:
        return self.beta(t).sqrt()

    @override
    def time_of_sigma(self, sigma: Tensor) -> Tensor:
        return self._time_of_integral(torch.log1p(sigma**2))


@dataclass(frozen=True)
class SubVP(_LinearBeta):
    r"""Sub-VP: the drift of ``VP`` with a smaller noise, :math:`s = 1 - e^{-\int_0^t \beta}`.

    Args:
        beta_min: Rate at time 0.
        beta_max: Rate at time 1.

    Raises:
        ValueError: ``0 < beta_min <= beta_max`` doesn't hold.
    """

    @override
    def std(self, t: Tensor) -> Tensor:
        return -torch.expm1(-self.integral(t))

    @override
    def diffusion(self, t: Tensor) -> Tensor:
        return (-self.beta(t) * torch.expm1(-2 * self.integral(t))).sqrt()

    @override
    def time_of_sigma(self, sigma: Tensor) -> Tensor:
        # sigma = 2 sinh(integral / 2)
        return self._time_of_integral(2 * torch.asinh(sigma / 2))


@dataclass(frozen=True)
class VE(Schedule):
    r"""Variance exploding: no drift, :math:`s = \sigma_{min} (\sigma_{max} / \sigma_{min})^t`.

    The noise starts at :math:`\sigma_{min}`, not at 0, as in the code of the method.

    Args:
        sigma_min: Standard deviation at time 0.
        sigma_max: Standard deviation at time 1.

    Raises:
        ValueError: ``0 < sigma_min < sigma_max`` doesn't hold.
    """

    sigma_min: float = 0.1
    sigma_max: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max < math.inf:
            raise ValueError(
                f"VE: expected 0 < sigma_min < sigma_max, got {self.sigma_min}, {self.sigma_max}"
            )

    @property
    def _log_ratio(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)

    @override
    def scale(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    @override
    def std(self, t: Tensor) -> Tensor:
        return self.sigma_min * (self._log_ratio * t).exp()

    @override
    def drift_rate(self, t: Tensor) -> Tensor:
        return torch.zeros_like(t)

    @override
    def diffusion(self, t: Tensor) -> Tensor:
        return self.std(t) * math.sqrt(2 * self._log_ratio)

    @override
    def time_of_sigma(self, sigma: Tensor) -> Tensor:
        return (sigma / self.sigma_min).log() / self._log_ratio
