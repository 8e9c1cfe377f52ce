"""Settings of a UNet and of its training that studies have in common."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from invdiff.study.base import Config
from invdiff.training import Training

__all__ = ["UNetTraining"]


class UNetTraining(Config):
    """A UNet on blocks of pixels, and the optimisation of its weights, see ``Training``.

    Args:
        patch: Side of the blocks of pixels that become channels.
        channels: Multiples of 16, the last of 32.
        layers: Residual blocks at each resolution.
        batch_size: Images of each step.
        num_steps: Steps.
        num_warmup: Steps of the warm-up.
        learning_rate: Its highest value.
        ema_decay: Of the averaged weights.
        dtype: Precision of the network's arithmetic.
    """

    patch: PositiveInt = 4
    channels: tuple[PositiveInt, ...] = Field(default=(32, 64, 96), min_length=1)
    layers: PositiveInt = 1
    batch_size: PositiveInt = 16
    num_steps: PositiveInt = 2500
    num_warmup: NonNegativeInt = 100
    learning_rate: PositiveFloat = 8e-4
    ema_decay: float = Field(default=0.995, ge=0, lt=1)
    dtype: Literal["float32", "bfloat16"] = "float32"

    @model_validator(mode="after")
    def _check_channels(self) -> Self:
        if any(n % 16 for n in self.channels) or self.channels[-1] % 32:
            raise ValueError(
                f"channels: expected multiples of 16, the last of 32, got {self.channels}"
            )
        return self

    @property
    def unit(self) -> int:
        """What the side of the images must be a multiple of."""
        return int(self.patch * 2 ** (len(self.channels) - 1))

    def training(self) -> Training:
        """Return the optimisation."""
        return Training(
            num_steps=self.num_steps,
            learning_rate=self.learning_rate,
            num_warmup=self.num_warmup,
            ema_decay=self.ema_decay,
            dtype=getattr(torch, self.dtype),
        )
