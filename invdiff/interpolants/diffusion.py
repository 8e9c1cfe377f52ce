"""The amount of noise epsilon(t) of the SDEs of an interpolant."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["ConstantEpsilon", "Epsilon", "TabulatedEpsilon"]

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
        if not 0 <= self.value < math.inf:
            raise ValueError(f"ConstantEpsilon: expected value >= 0, got {self.value}")

    def __call__(self, t: Tensor) -> Tensor:
        """Return epsilon(t)."""
        return torch.full_like(t, self.value)


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
