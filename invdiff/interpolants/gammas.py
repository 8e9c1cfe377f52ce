"""How much noise an interpolant carries between its ends, with derivatives that don't blow up."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "BrownianGamma",
    "FoellmerGamma",
    "Gamma",
    "NoGamma",
    "QuadraticGamma",
    "SigmoidGamma",
    "SineSquaredGamma",
]


class Gamma(abc.ABC):
    """The scale gamma(t) of the latent noise z on [0, 1]: zero at both ends, positive between."""

    @abc.abstractmethod
    def value(self, t: Tensor) -> Tensor:
        """Return gamma(t), the shape and dtype of t."""

    @abc.abstractmethod
    def dot(self, t: Tensor) -> Tensor:
        """Return gamma'(t); infinite at the ends for the kinds with a square root."""

    @abc.abstractmethod
    def product(self, t: Tensor) -> Tensor:
        """Return gamma(t) gamma'(t), finite everywhere; never computed as the product."""

    def square(self, t: Tensor) -> Tensor:
        """Return gamma(t)^2."""
        return self.value(t) ** 2


@dataclass(frozen=True)
class BrownianGamma(Gamma):
    r"""A Brownian bridge, :math:`\gamma^2 = a\, t (1 - t)` and :math:`\gamma\gamma' = a(1 - 2t)/2`.

    Args:
        scale: a > 0, the variance of the Brownian motion over [0, 1].

    Raises:
        ValueError: The scale is not positive and finite.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        _check_scale(self)

    def value(self, t: Tensor) -> Tensor:
        """Return gamma(t)."""
        return self.square(t).sqrt()

    def dot(self, t: Tensor) -> Tensor:
        """Return gamma'(t)."""
        return self.product(t) / self.value(t)

    def product(self, t: Tensor) -> Tensor:
        """Return gamma gamma'."""
        return self.scale * (1 - 2 * t) / 2

    def square(self, t: Tensor) -> Tensor:
        """Return gamma^2."""
        # rounding of a grid may step over the ends
        return (self.scale * t * (1 - t)).clamp(min=0)


@dataclass(frozen=True)
class FoellmerGamma(Gamma):
    r"""The noise of a point-source process, :math:`\gamma = \sqrt t\, \sigma (1 - t)`.

    Args:
        scale: sigma > 0.

    Raises:
        ValueError: The scale is not positive and finite.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        _check_scale(self)

    def value(self, t: Tensor) -> Tensor:
        """Return gamma(t)."""
        return self.scale * t.clamp(min=0).sqrt() * (1 - t)

    def dot(self, t: Tensor) -> Tensor:
        """Return gamma'(t)."""
        return self.scale * (1 - 3 * t) / (2 * t.clamp(min=0).sqrt())

    def product(self, t: Tensor) -> Tensor:
        """Return gamma gamma'."""
        return self.scale**2 * (1 - t) * (1 - 3 * t) / 2


@dataclass(frozen=True)
class QuadraticGamma(Gamma):
    r""":math:`\gamma = t(1 - t)`, the "bsquared" of the interpolant papers."""

    def value(self, t: Tensor) -> Tensor:
        """Return gamma(t)."""
        return t * (1 - t)

    def dot(self, t: Tensor) -> Tensor:
        """Return gamma'(t)."""
        return 1 - 2 * t

    def product(self, t: Tensor) -> Tensor:
        """Return gamma gamma'."""
        return t * (1 - t) * (1 - 2 * t)


@dataclass(frozen=True)
class SineSquaredGamma(Gamma):
    r""":math:`\gamma = \sin^2(\pi t)`."""

    def value(self, t: Tensor) -> Tensor:
        """Return gamma(t)."""
        return (math.pi * t).sin() ** 2

    def dot(self, t: Tensor) -> Tensor:
        """Return gamma'(t)."""
        return math.pi * (2 * math.pi * t).sin()

    def product(self, t: Tensor) -> Tensor:
        """Return gamma gamma'."""
        return self.value(t) * self.dot(t)


@dataclass(frozen=True)
class SigmoidGamma(Gamma):
    r"""A plateau, with the logistic function S.

    .. math:: \gamma = S(f(t - \tfrac12) + 1) - S(f(t - \tfrac12) - 1)
        - S(-\tfrac f2 + 1) + S(-\tfrac f2 - 1)

    Args:
        steepness: f > 0.

    Raises:
        ValueError: The steepness is not positive and finite.
    """

    steepness: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.steepness < math.inf:
            raise ValueError(f"SigmoidGamma: expected steepness > 0, got {self.steepness}")

    def value(self, t: Tensor) -> Tensor:
        """Return gamma(t)."""
        shifted = self.steepness * (t - 0.5)
        end = torch.full_like(t, self.steepness / 2)
        plateau = torch.sigmoid(shifted + 1) - torch.sigmoid(shifted - 1)
        return plateau - torch.sigmoid(1 - end) + torch.sigmoid(-1 - end)

    def dot(self, t: Tensor) -> Tensor:
        """Return gamma'(t)."""
        shifted = self.steepness * (t - 0.5)
        up, down = torch.sigmoid(shifted + 1), torch.sigmoid(shifted - 1)
        return self.steepness * (up * (1 - up) - down * (1 - down))

    def product(self, t: Tensor) -> Tensor:
        """Return gamma gamma'."""
        return self.value(t) * self.dot(t)


@dataclass(frozen=True)
class NoGamma(Gamma):
    """No latent noise: the process between a pair is deterministic."""

    def value(self, t: Tensor) -> Tensor:
        """Return 0."""
        return torch.zeros_like(t)

    def dot(self, t: Tensor) -> Tensor:
        """Return 0."""
        return torch.zeros_like(t)

    def product(self, t: Tensor) -> Tensor:
        """Return 0."""
        return torch.zeros_like(t)


def _check_scale(gamma: BrownianGamma | FoellmerGamma) -> None:
    if not 0 < gamma.scale < math.inf:
        raise ValueError(f"{type(gamma).__name__}: expected scale > 0, got {gamma.scale}")
