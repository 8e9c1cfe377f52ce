"""The two networks of the study of many dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from invdiff.interpolants.fit import train_field
from invdiff.interpolants.networks import FieldMLP, told
from invdiff.interpolants.process import FieldProcess
from invdiff.interpolants.skip import GaussianSkip
from invdiff.rng import derive_generator
from invdiff.study.base import Config
from invdiff.study.laboratory.interpolant_gmm_d128_problem import HighDimProblem
from invdiff.study.scripted import Arrays
from invdiff.study.stored_weights import restore_weights, stored_weights
from invdiff.training import Training, TrainingStep, drawn_network

__all__ = ["FIELDS", "FieldName", "FieldTraining", "HighDimFields"]

FieldName = Literal["b", "s"]
FIELDS: tuple[FieldName, ...] = ("b", "s")


class FieldTraining(Config):
    """How each of the networks is trained.

    Args:
        width: Of the hidden layers.
        depth: Hidden layers.
        num_steps: Updates.
        batch_size: Pairs of each, each with z and -z.
        learning_rate: The highest.
        num_warmup: Steps that lead to it.
        ema_decay: Of the average of the weights that is kept.
    """

    width: PositiveInt = 256
    depth: PositiveInt = 4
    num_steps: PositiveInt = 2000
    batch_size: PositiveInt = 256
    learning_rate: PositiveFloat = 2e-3
    num_warmup: NonNegativeInt = 100
    ema_decay: float = Field(default=0.99, ge=0, lt=1)

    def build(self) -> Training:
        """Return the settings of the training loop."""
        return Training(
            num_steps=self.num_steps,
            learning_rate=self.learning_rate,
            num_warmup=self.num_warmup,
            weight_decay=0.0,
            ema_decay=self.ema_decay,
            dtype=torch.float32,
        )


@dataclass(frozen=True)
class HighDimFields:
    """Networks for the velocity b and the score s of a problem.

    Args:
        problem: What they are trained on.
        training: How.
        seed: Of weights and batches.
    """

    problem: HighDimProblem
    training: FieldTraining
    seed: int

    def network(self, name: FieldName) -> nn.Module:
        """Return an untrained network: the field of normal ends of the same spread."""
        problem, training = self.problem, self.training
        network = drawn_network(
            lambda: FieldMLP(problem.dim, training.width, training.depth),
            generator=derive_generator(self.seed, "weights", name),
        )
        spread = problem.target_std
        return GaussianSkip(network, problem.interpolant, name, target_std=spread)

    def train(self, name: FieldName) -> Arrays:
        """Return weights and the loss of each step, over the number of entries of x."""
        losses: list[Tensor] = []

        def note(step: TrainingStep) -> None:
            losses.append(step.loss)

        network = train_field(
            self.network(name),
            name,
            self.problem.interpolant,
            self.problem.coupling,
            self.training.build(),
            batch_size=self.training.batch_size,
            generator=derive_generator(self.seed, "training", name),
            callback=note,
        )
        return stored_weights(network) | {"loss": torch.stack(losses).numpy()}

    def process(self, trained: dict[FieldName, Arrays]) -> FieldProcess:
        """Return the process of trained networks, see ``train``."""
        b, s = (told(self._restored(name, trained[name]), None) for name in FIELDS)
        return FieldProcess(self.problem.interpolant, b=b, s=s)

    def _restored(self, name: FieldName, arrays: Arrays) -> nn.Module:
        network = self.network(name)
        restore_weights(network, arrays)
        return network.requires_grad_(False)
