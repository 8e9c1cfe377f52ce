"""The increments of a diffusion: sample i has its own, whatever is drawn beside it."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.rng import problem_streams

__all__ = ["SampleNoise"]

# numbers that are drawn at once for a sample; a call for each step would cost more than the step
_BLOCK = 1024


class SampleNoise:
    """Standard normals for a batch, drawn in blocks of steps from one stream per sample.

    Args:
        generator: Source of the streams, on the device that is to be used.
        num_samples: Size of the batch.
        like: An x ``(num_samples, *shape)``: shape, dtype and device of each draw.

    Raises:
        ValueError: No sample, or an x of another batch.
    """

    def __init__(self, generator: torch.Generator, num_samples: int, like: Tensor) -> None:
        # the draws of fewer would be broadcast, and samples share their noise
        if like.ndim < 1 or len(like) != num_samples:
            raise ValueError(
                f"SampleNoise: expected x of {num_samples} samples, got {tuple(like.shape)}"
            )
        self._streams = problem_streams(generator, num_samples, ())
        self._like, self._shape = like, tuple(like.shape[1:])
        # of the shape alone, so that the draws don't depend on the batch
        self._steps = max(1, _BLOCK // max(1, like[0].numel()))
        self._block, self._next = like.new_empty(0), self._steps

    def __call__(self) -> Tensor:
        """Return the next draw, ``(num_samples, *shape)``."""
        if self._next == self._steps:
            self._block = self._streams.normal((self._steps, *self._shape), self._like)
            self._next = 0
        self._next += 1
        return self._block[:, self._next - 1]
