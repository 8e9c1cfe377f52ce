"""The training of a prior on slices, with or without classes, on one process or many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from invdiff.training.batches import Batches
from invdiff.training.loop import TrainingStep, train
from invdiff.training.objective import Noisy, Objective
from invdiff.training.processes import Processes
from invdiff.training.resume import TrainingCheckpoint
from invdiff.training.settings import Training
from invdiff.training.slice_set import SliceSet
from invdiff.training.tracker import Tracker

__all__ = ["PriorRecipe", "heldout_losses", "train_prior"]

Change = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class PriorRecipe:
    """What a prior is trained to do, and on what.

    Args:
        objective: The loss.
        training: The optimisation.
        batch_size: Images of a step, of all processes together.
        num_parts: Parts of the batch with random streams of their own: as many processes can
            share it, to the same result but for rounding.
        num_passes: Passes through the network for the parts of one process: one takes the most
            memory, as many as there are parts the least.
        change: Augmentation, ``(images, generator) -> images``.
        label_dropout: Share of the images whose class the network isn't told, so that it can
            also do without; only where the slices have classes.

    Raises:
        ValueError: A number out of its range.
    """

    objective: Objective
    training: Training
    batch_size: int = 16
    num_parts: int = 4
    num_passes: int = 1
    change: Change | None = None
    label_dropout: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.label_dropout <= 1 or self.num_passes < 1:
            raise ValueError(
                "PriorRecipe: expected 0 <= label_dropout <= 1 and num_passes >= 1, got "
                f"{self.label_dropout} and {self.num_passes}"
            )


def train_prior(
    network: nn.Module,
    slices: SliceSet,
    recipe: PriorRecipe,
    *,
    seed: int,
    tracker: Tracker | None = None,
    processes: Processes | None = None,
    checkpoint: TrainingCheckpoint | None = None,
    callback: Callable[[TrainingStep], None] | None = None,
) -> nn.Module:
    """Train a network in place on slices and return the average of its weights.

    Args:
        network: ``(x, time, class_labels, return_dict=False) -> (output,)`` such as a
            ``UNet2DModel``, on the device it is trained on. One that is told classes has a label
            more than the slices, for none.
        slices: On the same device.
        recipe: What is trained, and how.
        seed: Of the order of the slices and of all random numbers.
        tracker: See ``train``.
        processes: See ``train``; their number divides that of the parts.
        checkpoint: See ``train``; it needs no generators.
        callback: See ``train``.

    Raises:
        ValueError: A loss that diverged, or parts that the processes cannot share.
    """
    processes = processes or Processes()
    batches = Batches(len(slices), recipe.batch_size, recipe.num_parts, seed)
    mine = processes.share(recipe.num_parts)
    if len(mine) % recipe.num_passes:
        raise ValueError(f"num_passes: {recipe.num_passes} don't divide {len(mine)} parts")
    per_pass = len(mine) // recipe.num_passes

    def loss(current: nn.Module, step: int) -> Sequence[Callable[[], Tensor]]:
        return [
            partial(_loss, current, slices, recipe, batches, step, mine[k : k + per_pass])
            for k in range(0, len(mine), per_pass)
        ]

    return train(
        network,
        loss,
        recipe.training,
        tracker=tracker,
        processes=processes,
        checkpoint=checkpoint,
        callback=callback,
    )


def heldout_losses(
    network: nn.Module,
    slices: SliceSet,
    objective: Objective,
    *,
    generator: torch.Generator,
    batch_size: int = 32,
) -> Tensor:
    """Return the loss of each slice ``(slices,)``, with one draw of level and noise for it.

    Args:
        network: As for ``train_prior``.
        slices: On its device.
        objective: The loss.
        generator: On the device.
        batch_size: Slices at a time; another one draws other noise.
    """
    losses = []
    with torch.no_grad():
        for first in range(0, len(slices), batch_size):
            index = slice(first, first + batch_size)
            clean = slices.images(index)
            labels = None if slices.labels is None else slices.labels[index]
            noisy = objective.draw(clean, generator)
            losses.append(objective.losses(_told(network, labels), clean, noisy))
    return torch.cat(losses)


def _loss(
    network: nn.Module,
    slices: SliceSet,
    recipe: PriorRecipe,
    batches: Batches,
    step: int,
    parts: Sequence[int],
) -> Tensor:
    drawn = [_drawn(slices, recipe, batches, step, part) for part in parts]
    clean, x, sigma = (torch.cat(values) for values in zip(*(d[:3] for d in drawn), strict=True))
    labels = [told for *_, told in drawn if told is not None]
    told = _told(network, torch.cat(labels) if labels else None)
    return recipe.objective.losses(told, clean, Noisy(x, sigma)).mean()


def _drawn(
    slices: SliceSet, recipe: PriorRecipe, batches: Batches, step: int, part: int
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Return clean and noisy images, noise levels, and the classes that are told if there are."""
    device = slices.values.device
    generator = batches.generator(step, part, device)
    index = batches.indices(step, part).to(device)
    labels: Tensor | None = None
    # interpolation and noise in full precision, whatever the network computes in
    with torch.autocast(device.type, enabled=False), torch.no_grad():
        clean = slices.images(index)
        if slices.labels is not None:
            told = torch.rand(len(index), generator=generator, device=device)
            told = told >= recipe.label_dropout
            labels = slices.labels[index].where(told, len(slices.classes))
        if recipe.change is not None:
            clean = recipe.change(clean, generator)
        noisy = recipe.objective.draw(clean, generator)
    return clean, *noisy, labels


def _told(network: Any, labels: Tensor | None) -> Callable[[Tensor, Tensor], Tensor]:
    def call(x: Tensor, time: Tensor) -> Tensor:
        output: Tensor
        if labels is None:
            output = network(x, time, return_dict=False)[0]
        else:
            output = network(x, time, class_labels=labels, return_dict=False)[0]
        return output.to(x.dtype)

    return call
