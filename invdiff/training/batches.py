"""Batches that depend on a seed and the number of the step alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.rng import derive_generator

__all__ = ["Batches"]


@dataclass(frozen=True)
class Batches:
    """Which slices each step learns from, in parts with random streams of their own.

    Every slice comes once in an epoch, in an order that is drawn anew for each. Nothing is kept
    from step to step: a training that goes on, and one on more processes, sees the same.

    Args:
        count: Slices.
        batch_size: Of them in a step.
        num_parts: Parts of a batch, each in one process.
        seed: Of the order and the streams.

    Raises:
        ValueError: A number below 1, or parts that aren't equal.
    """

    count: int
    batch_size: int
    num_parts: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.count, self.batch_size, self.num_parts) < 1 or self.batch_size % self.num_parts:
            raise ValueError(
                f"Batches: expected numbers of at least 1 and equal parts, got {self.count} slices "
                f"in batches of {self.batch_size} and {self.num_parts} parts"
            )

    @property
    def part_size(self) -> int:
        """Slices in a part."""
        return self.batch_size // self.num_parts

    def indices(self, step: int, part: int) -> Tensor:
        """Return the slices of a part of a step, ``(part_size,)`` int64."""
        first = step * self.batch_size + part * self.part_size
        places = torch.arange(first, first + self.part_size)
        epochs = places // self.count
        chosen = torch.empty_like(places)
        for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
            inside = epochs == epoch
            chosen[inside] = self._order(epoch)[places[inside] % self.count]
        return chosen

    def generator(self, step: int, part: int, device: torch.device | str) -> torch.Generator:
        """Return the source of all random numbers of a part of a step."""
        return derive_generator(self.seed, "batch", step, part, device=device)

    def _order(self, epoch: int) -> Tensor:
        generator = derive_generator(self.seed, "epoch", epoch)
        return torch.randperm(self.count, generator=generator)
