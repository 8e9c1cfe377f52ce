"""The optimisation of a network: AdamW, warm-up and decay, clipping and an average of weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from invdiff.training.graphs import GraphedNetwork

__all__ = ["Training", "TrainingStep", "train"]


class TrainingStep(NamedTuple):
    """What is told after a step: its number, and the loss, still on the device."""

    step: int
    num_steps: int
    loss: Tensor


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

    def rate(self, step: int) -> float:
        """Return the learning rate of a step over its highest value."""
        warm = min(1.0, (step + 1) / max(1, self.num_warmup))
        return warm * (1 + math.cos(math.pi * step / self.num_steps)) / 2


def train(
    network: nn.Module,
    loss: Callable[[nn.Module, int], Tensor],
    training: Training,
    *,
    graph_example: tuple[Tensor, Tensor] | None = None,
    callback: Callable[[TrainingStep], None] | None = None,
) -> nn.Module:
    """Train a network in place and return the average of its weights, as a network of its own.

    Args:
        network: On the device it is trained on.
        loss: ``(network, step) -> scalar``; draws its own batch.
        training: Its settings.
        graph_example: Images and times as the loss passes them: the network runs as a CUDA graph,
            for batches of this shape only; a small network then trains several times as fast.
        callback: Called after each step.

    Raises:
        ValueError: The loss is not finite at the end.
    """
    parameter = next(network.parameters())
    network.train()
    # torch's AveragedModel asks the device for its count at each step; this doesn't
    averaging: Any = get_ema_multi_avg_fn
    renew, average = averaging(training.ema_decay), copy.deepcopy(network)
    optimizer = torch.optim.AdamW(
        network.parameters(),
        training.learning_rate,
        weight_decay=training.weight_decay,
        fused=parameter.is_cuda,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, training.rate)
    called = network
    if graph_example is not None:
        called = GraphedNetwork(network, *graph_example, training.dtype)
    value = torch.full((), math.nan)
    for step in range(training.num_steps):
        with torch.autocast(
            parameter.device.type, training.dtype, enabled=training.dtype != torch.float32
        ):
            value = loss(called, step)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), training.gradient_clip)
        optimizer.step()
        schedule.step()
        # a long average of few steps would keep the weights of the start
        if step == training.num_warmup:
            average.load_state_dict(network.state_dict())
        elif step > training.num_warmup:
            renew(list(average.parameters()), list(network.parameters()), None)
        if callback is not None:
            callback(TrainingStep(step, training.num_steps, value.detach()))
    if not torch.isfinite(value):
        raise ValueError("train: the loss is not finite, try a lower learning_rate")
    if training.num_steps <= training.num_warmup:
        average.load_state_dict(network.state_dict())
    return average.eval()
