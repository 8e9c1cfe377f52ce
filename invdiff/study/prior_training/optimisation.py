"""How the network of a prior is optimised, as values of a configuration."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from invdiff.study.base import Config
from invdiff.training import Training

__all__ = ["AverageConfig", "OptimisationConfig"]


class OptimisationConfig(Config):
    """Adam, see ``Training`` and ``PriorRecipe``.

    Args:
        num_steps: Steps.
        batch_size: Images of a step, of all processes together.
        num_parts: Parts of the batch with random streams of their own, which so many processes at
            most can share: the result is the same for any number of them that divides it.
        num_passes: Passes through the network for the share of a process, to save memory.
        num_warmup: Steps of the warm-up.
        learning_rate: Its highest value.
        weight_decay: Of AdamW.
        gradient_clip: Largest norm of the gradient.
        dtype: Precision of the network's arithmetic.
        compile: Use ``torch.compile``.
        checkpoint_every: Steps from one checkpoint to the next.
    """

    num_steps: PositiveInt = 2000
    batch_size: PositiveInt = 16
    num_parts: PositiveInt = 4
    num_passes: PositiveInt = 1
    num_warmup: NonNegativeInt = 100
    learning_rate: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.01
    gradient_clip: PositiveFloat = 1.0
    dtype: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    checkpoint_every: PositiveInt = 200

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        if self.batch_size % self.num_parts:
            raise ValueError(
                f"num_parts: {self.num_parts} don't divide a batch of {self.batch_size}"
            )
        return self

    def training(self) -> Training:
        """Return the settings of the loop."""
        return Training(
            num_steps=self.num_steps,
            learning_rate=self.learning_rate,
            num_warmup=self.num_warmup,
            weight_decay=self.weight_decay,
            gradient_clip=self.gradient_clip,
            dtype=getattr(torch, self.dtype),
            compile=self.compile,
        )


class AverageConfig(Config):
    """Averages of the weights, whose length is chosen afterwards by the held-out loss.

    Args:
        lengths: Standard deviations of the profiles that are kept, see ``PowerAverages``.
        candidates: Those that are tried at the end.
        num_snapshots: Times at which the averages are kept, at equal distances.
    """

    lengths: tuple[PositiveFloat, ...] = Field(default=(0.05, 0.1), min_length=1)
    candidates: tuple[PositiveFloat, ...] = Field(
        default=(0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2), min_length=1
    )
    num_snapshots: PositiveInt = 8

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        highest = max((*self.lengths, *self.candidates))
        if highest >= 0.28 or len(set(self.lengths)) < len(self.lengths):
            raise ValueError(
                f"lengths: expected different ones below .28, got {self.lengths} and "
                f"{self.candidates}"
            )
        return self

    def steps(self, num_steps: int) -> set[int]:
        """Return after how many updates the averages are kept."""
        count = min(self.num_snapshots, num_steps)
        return {round(num_steps * (k + 1) / count) for k in range(count)}
