"""How an interpolant goes from one end to the other: alpha(t) x0 + beta(t) x1."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.interpolants.gammas import Gamma

__all__ = ["EncodingDecodingPath", "LinearPath", "Path", "PathPoint", "PowerPath",
           "TrigonometricPath"]  # fmt: skip


class PathPoint(NamedTuple):
    """Weights of both ends at a time, and their time derivatives; the shape of t."""

    alpha: Tensor
    beta: Tensor
    alpha_dot: Tensor
    beta_dot: Tensor


class Path(abc.ABC):
    """Weights with alpha(0) = beta(1) = 1 and alpha(1) = beta(0) = 0."""

    @abc.abstractmethod
    def at(self, t: Tensor, gamma: Gamma) -> PathPoint:
        """Return the weights at t in [0, 1]; some make room for the noise of gamma."""


@dataclass(frozen=True)
class LinearPath(Path):
    r""":math:`\alpha = 1 - t, \beta = t`."""

    def at(self, t: Tensor, gamma: Gamma) -> PathPoint:
        """Return the weights."""
        one = torch.ones_like(t)
        return PathPoint(1 - t, t, -one, one)


@dataclass(frozen=True)
class PowerPath(Path):
    r""":math:`\alpha = 1 - t, \beta = t^p`, for forecasts.

    Args:
        power: p >= 1.

    Raises:
        ValueError: The power is below 1.
    """

    power: float = 2.0

    def __post_init__(self) -> None:
        if not 1 <= self.power < math.inf:
            raise ValueError(f"PowerPath: expected power >= 1, got {self.power}")

    def at(self, t: Tensor, gamma: Gamma) -> PathPoint:
        """Return the weights."""
        one = torch.ones_like(t)
        return PathPoint(1 - t, t**self.power, -one, self.power * t ** (self.power - 1))


@dataclass(frozen=True)
class TrigonometricPath(Path):
    r"""Keeps the variance of ends of unit variance.

    .. math:: \alpha = \sqrt{1 - \gamma^2} \cos(\pi t / 2), \quad
        \beta = \sqrt{1 - \gamma^2} \sin(\pi t / 2)

    Raises:
        ValueError: At a t where gamma reaches 1.
    """

    def at(self, t: Tensor, gamma: Gamma) -> PathPoint:
        """Return the weights."""
        room = 1 - gamma.square(t)
        if not (room > 0).all():
            raise ValueError(
                "TrigonometricPath: expected gamma < 1, it leaves no room for the ends"
            )
        radius = room.sqrt()
        radius_dot = -gamma.product(t) / radius
        cos, sin = (math.pi / 2 * t).cos(), (math.pi / 2 * t).sin()
        turn = math.pi / 2 * radius
        return PathPoint(
            radius * cos, radius * sin, radius_dot * cos - turn * sin, radius_dot * sin + turn * cos
        )


@dataclass(frozen=True)
class EncodingDecodingPath(Path):
    r"""Forgets one end before it makes the other; goes with ``SineSquaredGamma``.

    .. math:: \alpha = \cos^2(\pi t) 1_{t \le 1/2}, \quad \beta = \cos^2(\pi t) 1_{t > 1/2}
    """

    def at(self, t: Tensor, gamma: Gamma) -> PathPoint:
        """Return the weights."""
        value, dot = (math.pi * t).cos() ** 2, -math.pi * (2 * math.pi * t).sin()
        zero, first = torch.zeros_like(t), t <= 0.5
        return PathPoint(
            torch.where(first, value, zero),
            torch.where(first, zero, value),
            torch.where(first, dot, zero),
            torch.where(first, zero, dot),
        )
