"""The optimisation of a network: Adam, warm-up and decay, clipping and an average of weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from invdiff.training.graphs import GraphedNetwork
from invdiff.training.processes import Processes
from invdiff.training.resume import TrainingCheckpoint
from invdiff.training.settings import Training
from invdiff.training.tracker import Tracker

__all__ = ["Loss", "TrainingStep", "train"]

# the loss of a step, or parts of it that are differentiated one after the other
Loss = Callable[[nn.Module, int], Tensor | Sequence[Callable[[], Tensor]]]


class TrainingStep(NamedTuple):
    """What is told after a step: its number, and the loss, still on the device."""

    step: int
    num_steps: int
    loss: Tensor


def train(
    network: nn.Module,
    loss: Loss,
    training: Training,
    *,
    graph_example: tuple[Tensor, Tensor] | None = None,
    clipped: Sequence[nn.Module] = (),
    tracker: Tracker | None = None,
    processes: Processes | None = None,
    checkpoint: TrainingCheckpoint | None = None,
    callback: Callable[[TrainingStep], None] | None = None,
) -> nn.Module:
    """Train a network in place and return the average of its weights, as a network of its own.

    Args:
        network: On the device it is trained on.
        loss: ``(network, step) -> scalar``; draws its own batch. It may also return functions
            without arguments, parts of a batch: the loss is the mean of their values, and only
            one of them is in memory at a time.
        training: Its settings.
        graph_example: Images and times as the loss passes them: the network runs as a CUDA graph,
            for batches of this shape only; a small network then trains several times as fast.
        clipped: Parts of the network whose gradients are clipped each on its own; by default
            the whole.
        tracker: Looks at the network after each step, such as ``PowerAverages``.
        processes: Those that train together; each one's loss is of its part of the batch.
        checkpoint: Keeps the state; a training that was killed goes on where its file is, and
            ends with the same bits.
        callback: Called after each step; also for those that a resumed training had done.

    Raises:
        ValueError: The loss is not finite at a checkpoint or at the end, or a checkpoint of another
            training, or one that not all processes see.
    """
    processes = processes or Processes()
    network.train()
    average, optimizer = copy.deepcopy(network), _optimizer(network, training)
    losses: list[Tensor] = []
    if checkpoint is not None:
        losses = checkpoint.restore(network, average, optimizer, repr(training), tracker)
        _check_start(len(losses), processes)
    value = losses[-1] if losses else torch.full((), math.nan)
    if callback is not None:
        for step, past in enumerate(losses):
            callback(TrainingStep(step, training.num_steps, past))
    called = _called(network, training, graph_example, processes)
    for step in range(len(losses), training.num_steps):
        optimizer.zero_grad()
        value = _differentiated(called, loss, step, training, processes)
        for part in clipped or (network,):
            nn.utils.clip_grad_norm_(part.parameters(), training.gradient_clip)
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * training.rate(step)
        optimizer.step()
        _renew(average, network, training, step)
        if tracker is not None:
            tracker.update(step + 1)
        if callback is not None:
            callback(TrainingStep(step, training.num_steps, value))
        if checkpoint is not None:
            last = step + 1 == training.num_steps
            if checkpoint.is_due(step + 1, last=last):
                _check_finite(value)
            if processes.is_main:
                checkpoint.save(value, network, average, optimizer, tracker, last=last)
    _check_finite(value)
    if not training.growing_ema and training.num_steps <= training.num_warmup:
        average.load_state_dict(network.state_dict())
    return average.eval()


def _check_start(step: int, processes: Processes) -> None:
    """Refuse to go on from different steps: the processes would wait for each other for ever."""
    first = processes.told(str(step))
    if first != str(step):
        raise ValueError(
            f"train: process {processes.rank} goes on from step {step}, the main one from {first}: "
            "all must see the same folder"
        )


def _check_finite(loss: Tensor) -> None:
    if not torch.isfinite(loss):
        raise ValueError("train: the loss is not finite, try a lower learning_rate")


def _called(
    network: nn.Module,
    training: Training,
    graph_example: tuple[Tensor, Tensor] | None,
    processes: Processes,
) -> nn.Module:
    """Return what the loss calls: it shares the weights of the network."""
    called = network
    if graph_example is not None:
        called = GraphedNetwork(network, *graph_example, training.dtype)
    if training.compile:
        compiled: Any = torch.compile(called)
        called = compiled
    # outermost: it has to know which of its backward passes exchange gradients
    return processes.wrapped(called)


def _differentiated(
    network: nn.Module, loss: Loss, step: int, training: Training, processes: Processes
) -> Tensor:
    """Add the gradients of a step to the weights, and return its loss."""
    device = next(network.parameters()).device.type
    enabled = training.dtype != torch.float32
    with torch.autocast(device, training.dtype, enabled=enabled):
        whole = loss(network, step)
    if isinstance(whole, Tensor):
        whole.backward()  # type: ignore[no-untyped-call]
        return processes.mean(whole.detach())
    total = torch.zeros((), device=next(network.parameters()).device)
    for number, part in enumerate(whole):
        with processes.synchronised(network, number + 1 == len(whole)):
            with torch.autocast(device, training.dtype, enabled=enabled):
                value = part() / len(whole)
            value.backward()  # type: ignore[no-untyped-call]
        total += value.detach()
    return processes.mean(total)


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
