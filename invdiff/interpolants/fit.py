"""Learning a field of an interpolant, in the training loop of the priors."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from invdiff.interpolants.couplings import Coupling, Draw
from invdiff.interpolants.interpolant import MARGIN, Interpolant
from invdiff.interpolants.losses import (
    Objective,
    check_objective,
    unchecked_loss,
    uniform_times,
)
from invdiff.interpolants.networks import told
from invdiff.interpolants.skip import GaussianSkip
from invdiff.training import Training, TrainingCheckpoint, TrainingStep, train

__all__ = ["PairLoss", "TimeSource", "train_field", "train_on_pairs"]

# (network, pairs, t, z) -> the loss of each pair, (batch,)
PairLoss = Callable[[nn.Module, Draw, Tensor, Tensor], Tensor]
# (count, generator) -> times, (count,)
TimeSource = Callable[[int, torch.Generator], Tensor]
# step of the training, counted from 0 -> the coupling that it draws from
SteppedCoupling = Callable[[int], Coupling]
# times at which an objective is looked at before a training
_NUM_CHECKED = 65


def train_field(
    network: nn.Module,
    objective: Objective,
    interpolant: Interpolant,
    coupling: Coupling | SteppedCoupling,
    training: Training,
    *,
    batch_size: int,
    generator: torch.Generator,
    antithetic: bool = True,
    times: TimeSource = uniform_times,
    checkpoint: TrainingCheckpoint | None = None,
    callback: Callable[[TrainingStep], None] | None = None,
) -> nn.Module:
    """Train a network in place and return the average of its weights.

    Args:
        network: ``(x, t, condition) -> (batch, *shape)``, see ``FieldMLP``, ``GaussianSkip`` and
            ``drawn_network``.
        objective: Which field it becomes: b, v, s or eta.
        interpolant: The process.
        coupling: Draws the ends; or gives the coupling that does at each step.
        training: The optimisation.
        batch_size: Pairs of each step.
        generator: On the device of the network; the only source of randomness.
        antithetic: Each pair with z and -z, see ``interpolant_loss``.
        times: Draws the time of each pair, within (0, 1).
        checkpoint: Keeps the state, see ``train``; it has to know the generator.
        callback: Called after each step.

    Raises:
        ValueError: A loss that diverged, a batch below 1, a ``GaussianSkip`` of another field, or
            an objective that the interpolant has no target for.
    """
    if isinstance(network, GaussianSkip):
        network.check(interpolant, objective)
    # once and on the host: the times of a step are on the device
    t = torch.linspace(MARGIN, 1 - MARGIN, _NUM_CHECKED, dtype=torch.float64)
    check_objective(objective, interpolant, t)
    pairs = antithetic and bool(interpolant.at(t).gamma.any())

    def loss(current: nn.Module, draw: Draw, t: Tensor, z: Tensor) -> Tensor:
        field = told(current, draw.condition)
        losses = unchecked_loss(field, objective, interpolant, draw, t, z, antithetic=pairs)
        return losses / draw.x1[0].numel()

    return train_on_pairs(
        network,
        loss,
        coupling,
        training,
        batch_size=batch_size,
        generator=generator,
        times=times,
        checkpoint=checkpoint,
        callback=callback,
    )


def train_on_pairs(
    network: nn.Module,
    loss: PairLoss,
    coupling: Coupling | SteppedCoupling,
    training: Training,
    *,
    batch_size: int,
    generator: torch.Generator,
    times: TimeSource = uniform_times,
    checkpoint: TrainingCheckpoint | None = None,
    callback: Callable[[TrainingStep], None] | None = None,
) -> nn.Module:
    """Train a network in place by any loss of pairs and return the average of its weights.

    Args:
        network: As the loss calls it.
        loss: ``(network, draw, t, z) -> (batch,)``, see ``told`` for a field under a condition.
        coupling: Draws the ends; or gives the coupling that does at each step.
        training: The optimisation.
        batch_size: Pairs of each step.
        generator: On the device of the network; the only source of randomness.
        times: Draws the time of each pair.
        checkpoint: Keeps the state, see ``train``; it has to know the generator.
        callback: Called after each step.

    Raises:
        ValueError: A loss that diverged, or a batch below 1.
    """
    if batch_size < 1:
        raise ValueError(f"training: expected batch_size >= 1, got {batch_size}")

    def drawn_loss(current: nn.Module, step: int) -> Tensor:
        device = generator.device
        # pairs may be simulated by physics that knows no half precision
        with torch.autocast(device.type, enabled=False), torch.no_grad():
            current_pairs = coupling(step) if callable(coupling) else coupling
            draw = current_pairs.draw(batch_size, generator)
            t = times(batch_size, generator)
            z = torch.randn(draw.x1.shape, generator=generator, device=device, dtype=draw.x1.dtype)
        return loss(current, draw, t, z).mean()

    return train(network, drawn_loss, training, checkpoint=checkpoint, callback=callback)
