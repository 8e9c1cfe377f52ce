"""What boundary conditions are, and what they are judged on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from torch import Tensor

__all__ = ["Boundary", "Metric", "Pairs"]

# (image, truth) -> one loss for each image, lower is better; both (*batch, *image)
Metric = Callable[[Tensor, Tensor], Tensor]


class Boundary(Protocol):
    """Where the ODE of each measurement starts."""

    def __call__(self, y: Tensor) -> Tensor:
        """Return x_T of unit variance, ``(*image)`` for all or ``(*batch, *image)``."""
        ...


class Pairs(NamedTuple):
    """Measurements ``(pairs, *measurement)`` and the true images ``(pairs, *image)``."""

    measurements: Tensor
    truths: Tensor
