"""How a network is optimised."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

__all__ = ["Training"]


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Args:
        num_steps: Updates.
        learning_rate: Its highest value; a warm-up leads to it, half a cosine down to zero.
        num_warmup: Steps of the linear warm-up.
        weight_decay: Of AdamW.
        gradient_clip: Largest norm of the gradient.
        ema_decay: Of the average of the weights that is kept.
        dtype: Precision of the network's arithmetic; weights stay in float32.
        rate_decay: Factor of the learning rate after every ``decay_steps``, in (0, 1], in place
            of the cosine.
        decay_steps: Steps of a constant learning rate, where ``rate_decay`` is given.
        decoupled: False: Adam, where the weight decay is a part of the gradient.
        compile: Use ``torch.compile``; the first step takes minutes.
        growing_ema: The average starts with the first weights, and its decay after step n = 1,
            2, ... is at most (1 + n) / (10 + n); else it starts after the warm-up.

    Raises:
        ValueError: A number out of its range.
    """

    num_steps: int = 4000
    learning_rate: float = 8e-4
    num_warmup: int = 200
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    ema_decay: float = 0.999
    dtype: torch.dtype = torch.bfloat16
    rate_decay: float | None = None
    decay_steps: int = 1
    decoupled: bool = True
    growing_ema: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        if (
            self.num_steps < 1
            or not 0 < self.learning_rate < math.inf
            or not 0 <= self.ema_decay < 1
        ):
            raise ValueError(
                f"Training: expected num_steps >= 1, learning_rate > 0 and 0 <= ema_decay < 1, "
                f"got {self.num_steps}, {self.learning_rate} and {self.ema_decay}"
            )
        if self.num_warmup < 0 or self.weight_decay < 0 or not self.gradient_clip > 0:
            raise ValueError(
                f"Training: expected num_warmup >= 0, weight_decay >= 0 and gradient_clip > 0, "
                f"got {self.num_warmup}, {self.weight_decay} and {self.gradient_clip}"
            )
        if self.decay_steps < 1 or not (self.rate_decay is None or 0 < self.rate_decay <= 1):
            raise ValueError(
                "Training: expected decay_steps >= 1 and rate_decay in (0, 1], "
                f"got {self.decay_steps} and {self.rate_decay}"
            )

    def rate(self, step: int) -> float:
        """Return the learning rate of a step over its highest value."""
        warm = min(1.0, (step + 1) / max(1, self.num_warmup))
        if self.rate_decay is not None:
            return warm * float(self.rate_decay ** (step // self.decay_steps))
        return warm * (1 + math.cos(math.pi * step / self.num_steps)) / 2
