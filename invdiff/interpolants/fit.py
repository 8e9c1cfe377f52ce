"""Learning a field of an interpolant, in the training loop of the priors."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from invdiff.interpolants.couplings import Coupling, Draw
from invdiff.interpolants.interpolant import MARGIN, Interpolant
from invdiff.interpolants.losses import Objective, interpolant_loss, uniform_times
from invdiff.interpolants.networks import told
from invdiff.interpolants.process import Field
from invdiff.interpolants.skip import GaussianSkip
from invdiff.training import Training, TrainingStep, train

__all__ = ["PairLoss", "train_field", "train_on_pairs"]

# (field that was told the condition, pairs, t, z) -> the loss of each pair, (batch,)
PairLoss = Callable[[Field, Draw, Tensor, Tensor], Tensor]


def train_field(
    network: nn.Module,
    objective: Objective,
    interpolant: Interpolant,
    coupling: Coupling,
    training: Training,
    *,
    batch_size: int,
    generator: torch.Generator,
    antithetic: bool = True,
    callback: Callable[[TrainingStep], None] | None = None,
) -> nn.Module:
    """Train a network in place and return the average of its weights.

    Args:
        network: ``(x, t, condition) -> (batch, *shape)``, see ``FieldMLP``, ``GaussianSkip`` and
            ``drawn_network``.
        objective: Which field it becomes: b, v, s or eta.
        interpolant: The process.
        coupling: Draws the ends.
        training: The optimisation.
        batch_size: Pairs of each step.
        generator: On the device of the network; the only source of randomness.
        antithetic: Each pair with z and -z, see ``interpolant_loss``.
        callback: Called after each step.

    Raises:
        ValueError: A loss that diverged, a batch below 1, or a ``GaussianSkip`` of another field.
    """
    if isinstance(network, GaussianSkip):
        network.check(interpolant, objective)

    def loss(field: Field, draw: Draw, t: Tensor, z: Tensor) -> Tensor:
        return interpolant_loss(field, objective, interpolant, draw, t, z, antithetic=antithetic)

    return train_on_pairs(
        network,
        loss,
        coupling,
        training,
        batch_size=batch_size,
        generator=generator,
        callback=callback,
    )


def train_on_pairs(
    network: nn.Module,
    loss: PairLoss,
    coupling: Coupling,
    training: Training,
    *,
    batch_size: int,
    generator: torch.Generator,
    margin: float = MARGIN,
    callback: Callable[[TrainingStep], None] | None = None,
) -> nn.Module:
    """Train a network in place by any loss of pairs and return the average of its weights.

    Args:
        network: ``(x, t, condition) -> (batch, *shape)``.
        loss: ``(field, draw, t, z) -> (batch,)``; the field has been told the condition.
        coupling: Draws the ends.
        training: The optimisation.
        batch_size: Pairs of each step.
        generator: On the device of the network; the only source of randomness.
        margin: Kept from both ends of time, see ``uniform_times``.
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
            draw = coupling.draw(batch_size, generator)
            t = uniform_times(batch_size, generator, margin)
            z = torch.randn(draw.x1.shape, generator=generator, device=device, dtype=draw.x1.dtype)
        losses = loss(told(current, draw.condition), draw, t, z)
        return losses.mean() / draw.x1[0].numel()

    return train(network, drawn_loss, training, callback=callback)
