"""At which noise levels a denoiser is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["DiscreteLevels", "LevelSource", "LogUniformLevels", "NoiseLevels", "UniformTimes"]


class LevelSource(Protocol):
    """A distribution of noise levels."""

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return noise levels of shape ``(count, 1, 1, 1)``."""
        ...


@dataclass(frozen=True)
class NoiseLevels:
    r"""The noise levels of a training, :math:`\ln \sigma \sim N(m, s^2)`.

    In the time of straight lines, :math:`t = \sigma / (1 + \sigma)`, this is the logit-normal
    distribution of :cite:t:`esser2024`: :math:`\ln \sigma = \ln t - \ln(1 - t)`.

    Args:
        log_mean: m, of sigma in the units of the images.
        log_std: s.

    Raises:
        ValueError: ``log_std`` is not positive.
    """

    log_mean: float = -1.2
    log_std: float = 1.2

    def __post_init__(self) -> None:
        if not 0 < self.log_std < math.inf or not math.isfinite(self.log_mean):
            raise ValueError(f"NoiseLevels: expected log_std > 0, got {self.log_std}")

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return noise levels of shape ``(count, 1, 1, 1)``."""
        normal = torch.randn(count, 1, 1, 1, generator=generator, device=generator.device)
        return (self.log_mean + self.log_std * normal).exp()


@dataclass(frozen=True)
class LogUniformLevels:
    r"""Noise levels whose logarithm is uniform, :math:`\ln \sigma \sim U(\ln a, \ln b)`.

    Args:
        lowest: a, in the units of the images.
        highest: b.

    Raises:
        ValueError: ``0 < lowest < highest`` doesn't hold.
    """

    lowest: float = 0.002
    highest: float = 80.0

    def __post_init__(self) -> None:
        if not 0 < self.lowest < self.highest < math.inf:
            raise ValueError(
                f"LogUniformLevels: expected 0 < lowest < highest, got {self.lowest} and "
                f"{self.highest}"
            )

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return noise levels of shape ``(count, 1, 1, 1)``."""
        share = torch.rand(count, 1, 1, 1, generator=generator, device=generator.device)
        low, high = math.log(self.lowest), math.log(self.highest)
        return (low + (high - low) * share).exp()


@dataclass(frozen=True)
class DiscreteLevels:
    """The noise levels of a table, all equally often: uniform training times of a DDPM.

    Args:
        sigmas: Such as those of a ``VariancePreserving``; positive.

    Raises:
        ValueError: None, or one that is not positive.
    """

    sigmas: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.sigmas or not all(0 < sigma < math.inf for sigma in self.sigmas):
            raise ValueError("DiscreteLevels: expected positive noise levels, at least one")

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return noise levels of shape ``(count, 1, 1, 1)``."""
        device = generator.device
        row = torch.randint(len(self.sigmas), (count,), generator=generator, device=device)
        return torch.tensor(self.sigmas, device=device)[row].reshape(count, 1, 1, 1)


@dataclass(frozen=True)
class UniformTimes:
    r"""Uniform times of straight lines, :math:`t \sim U(m, 1 - m)`.

    .. math:: \sigma = t / (1 - t)

    Args:
        margin: m, what is cut off at both ends, where sigma is zero and infinite; in (0, 1/2).

    Raises:
        ValueError: A margin out of its range.
    """

    margin: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 < self.margin < 0.5:
            raise ValueError(f"UniformTimes: expected a margin in (0, 1/2), got {self.margin}")

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return noise levels of shape ``(count, 1, 1, 1)``."""
        share = torch.rand(count, 1, 1, 1, generator=generator, device=generator.device)
        t = self.margin + (1 - 2 * self.margin) * share
        return t / (1 - t)
