"""The optimisation of a network: Adam, warm-up and decay, clipping and an average of weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from invdiff.training.graphs import GraphedNetwork
from invdiff.training.resume import TrainingCheckpoint

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
        rate_decay: Factor of the learning rate after every ``decay_steps``, in (0, 1], in place
            of the cosine.
        decay_steps: Steps of a constant learning rate, where ``rate_decay`` is given.
        decoupled: False: Adam, where the weight decay is a part of the gradient.
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


def train(
    network: nn.Module,
    loss: Callable[[nn.Module, int], Tensor],
    training: Training,
    *,
    graph_example: tuple[Tensor, Tensor] | None = None,
    clipped: Sequence[nn.Module] = (),
    checkpoint: TrainingCheckpoint | None = None,
    callback: Callable[[TrainingStep], None] | None = None,
) -> nn.Module:
    """Train a network in place and return the average of its weights, as a network of its own.

    Args:
        network: On the device it is trained on.
        loss: ``(network, step) -> scalar``; draws its own batch.
        training: Its settings.
        graph_example: Images and times as the loss passes them: the network runs as a CUDA graph,
            for batches of this shape only; a small network then trains several times as fast.
        clipped: Parts of the network whose gradients are clipped each on its own; by default
            the whole.
        checkpoint: Keeps the state; a training that was killed goes on where its file is, and
            ends with the same bits.
        callback: Called after each step; also for those that a resumed training had done.

    Raises:
        ValueError: The loss is not finite at the end, or a checkpoint of another training.
    """
    parameter = next(network.parameters())
    network.train()
    average, optimizer = copy.deepcopy(network), _optimizer(network, training)
    losses: list[Tensor] = []
    if checkpoint is not None:
        losses = checkpoint.restore(network, average, optimizer, repr(training))
    value = losses[-1] if losses else torch.full((), math.nan)
    if callback is not None:
        for step, past in enumerate(losses):
            callback(TrainingStep(step, training.num_steps, past))
    called = network
    if graph_example is not None:
        called = GraphedNetwork(network, *graph_example, training.dtype)
    for step in range(len(losses), training.num_steps):
        with torch.autocast(
            parameter.device.type, training.dtype, enabled=training.dtype != torch.float32
        ):
            value = loss(called, step)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        for part in clipped or (network,):
            nn.utils.clip_grad_norm_(part.parameters(), training.gradient_clip)
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * training.rate(step)
        optimizer.step()
        _renew(average, network, training, step)
        if callback is not None:
            callback(TrainingStep(step, training.num_steps, value.detach()))
        if checkpoint is not None:
            last = step + 1 == training.num_steps
            checkpoint.save(value, network, average, optimizer, last=last)
    if not torch.isfinite(value):
        raise ValueError("train: the loss is not finite, try a lower learning_rate")
    if not training.growing_ema and training.num_steps <= training.num_warmup:
        average.load_state_dict(network.state_dict())
    return average.eval()


def _optimizer(network: nn.Module, training: Training) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if training.decoupled else torch.optim.Adam
    return kind(
        network.parameters(),
        training.learning_rate,
        weight_decay=training.weight_decay,
        fused=next(network.parameters()).is_cuda,
    )


def _renew(average: nn.Module, network: nn.Module, training: Training, step: int) -> None:
    decay = training.ema_decay
    if training.growing_ema:
        decay = min(decay, (2 + step) / (11 + step))
    # a long average of few steps would keep the weights of the start
    elif step < training.num_warmup:
        return
    elif step == training.num_warmup:
        average.load_state_dict(network.state_dict())
        return
    # torch's AveragedModel asks the device for its count at each step; this doesn't
    averaging: Any = get_ema_multi_avg_fn
    averaging(decay)(list(average.parameters()), list(network.parameters()), None)
