"""Where pairs (x0, x1) come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

__all__ = ["Coupling", "Draw", "IndependentCoupling", "PairedCoupling"]

# (count, generator) -> (count, *shape)
Source = Callable[[int, torch.Generator], Tensor]


class Draw(NamedTuple):
    """A batch of pairs.

    Args:
        x0: ``(batch, *shape)``; None for an interpolant without x0.
        x1: ``(batch, *shape)``.
        condition: What the fields are told besides x_t, ``(batch, *other)``; None for nothing.
    """

    x0: Tensor | None
    x1: Tensor
    condition: Tensor | None = None


class Coupling(Protocol):
    """A joint law of both ends, and of what is known of them."""

    def draw(self, count: int, generator: torch.Generator) -> Draw:
        """Draw pairs on the device of the generator."""
        ...


@dataclass(frozen=True)
class IndependentCoupling:
    """Ends that know nothing of each other.

    Args:
        target: Draws x1.
        base: Draws x0; None for an interpolant without x0.
    """

    target: Source
    base: Source | None = None

    def draw(self, count: int, generator: torch.Generator) -> Draw:
        """Draw pairs."""
        x0 = None if self.base is None else self.base(count, generator)
        return Draw(x0, self.target(count, generator))


@dataclass(frozen=True, eq=False)
class PairedCoupling:
    """Pairs that were measured or simulated beforehand, drawn with replacement.

    Args:
        x0: ``(pairs, *shape)``.
        x1: ``(pairs, *shape)``.
        condition: ``(pairs, *other)``.

    Raises:
        ValueError: Other shapes, or none.
    """

    x0: Tensor
    x1: Tensor
    condition: Tensor | None = None

    def __post_init__(self) -> None:
        if self.x0.shape != self.x1.shape or not self.x1.numel():
            raise ValueError(
                f"PairedCoupling: expected as many x0 and x1 of one shape, got "
                f"{tuple(self.x0.shape)} and {tuple(self.x1.shape)}"
            )
        if self.condition is not None and len(self.condition) != len(self.x1):
            raise ValueError(
                f"PairedCoupling: expected {len(self.x1)} conditions, got {len(self.condition)}"
            )

    def draw(self, count: int, generator: torch.Generator) -> Draw:
        """Draw pairs."""
        device = generator.device
        rows = torch.randint(len(self.x1), (count,), generator=generator, device=device)
        condition = None if self.condition is None else _taken(self.condition, rows)
        return Draw(_taken(self.x0, rows), _taken(self.x1, rows), condition)


def _taken(values: Tensor, rows: Tensor) -> Tensor:
    """Return rows on their own device: the values may be kept where there is more memory."""
    return values[rows.to(values.device)].to(rows.device)
