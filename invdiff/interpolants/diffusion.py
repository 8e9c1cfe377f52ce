"""The amount of noise epsilon(t) of the SDEs of an interpolant."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["ConstantEpsilon", "Epsilon"]

# t 0-dimensional -> epsilon(t) >= 0, 0-dimensional
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
