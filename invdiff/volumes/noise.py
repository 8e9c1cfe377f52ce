"""Random numbers of volumes: one stream for each step and slice, so that nothing is carried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.rng import derive_generator
from invdiff.volumes.memory import IN_CORE, Memory
from invdiff.volumes.split import Split

__all__ = ["SliceNoise"]


@dataclass(frozen=True)
class SliceNoise:
    """Noise that depends on the seed, the step, the sample and the slice, and on nothing else.

    A run that goes on from a checkpoint, or that has its slices on several machines, draws what an
    uninterrupted run in one place draws.

    Args:
        seed: Of the run.
        num_samples: Volumes.
        split: Slices that are held here.
        memory: Where volumes live.
    """

    seed: int
    num_samples: int
    split: Split
    memory: Memory = IN_CORE

    def normal(self, step: int, like: Tensor, *, label: str = "") -> Tensor:
        """Draw standard normals in the shape, dtype and place of a volume held here.

        Args:
            step: Number of the step.
            like: Shape ``(num_samples, count, rows, columns)``.
            label: Tells draws of the same step apart.
        """
        first, count = self.split.first, self.split.count
        shape, real = like.shape[2:], like.dtype.to_real()
        parts: Sequence[int] = (*shape, 2) if like.is_complex() else shape
        noise = self.memory.empty((self.num_samples, count, *parts), torch.empty(0, dtype=real))
        for k in range(self.num_samples):
            for z in range(count):
                generator = self._generator(label, step, k, first + z)
                torch.randn(parts, generator=generator, out=noise[k, z])
        return (torch.view_as_complex(noise) if like.is_complex() else noise).to(like.device)

    def _generator(self, label: str, step: int, sample: int, position: int) -> torch.Generator:
        return derive_generator(self.seed, label, step, sample, position)
