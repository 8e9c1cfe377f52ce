"""Trainings and samples of the study of few-step flows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor, nn

from invdiff.interpolants.annealed_reflow import Annealing, annealed_reflow
from invdiff.interpolants.couplings import IndependentCoupling, PairedCoupling
from invdiff.interpolants.fit import train_field
from invdiff.interpolants.image_field import ImageField
from invdiff.interpolants.integrators import integrate_ode, time_grid
from invdiff.interpolants.networks import told
from invdiff.interpolants.one_step import distil_one_step
from invdiff.interpolants.rectified_flow import rectified, reflow_pairs
from invdiff.rng import derive_generator
from invdiff.study.laboratory.few_step_config import OneStepConfig, StudentConfig, TeacherConfig
from invdiff.study.laboratory.unet_training import UNetTraining
from invdiff.study.scripted import Arrays
from invdiff.study.stored_weights import restore_weights, stored_weights
from invdiff.training import TrainingCheckpoint, TrainingStep

__all__ = ["FewStepRuns"]


class _Kept(TypedDict):
    """What all trainings are given to be kept."""

    generator: torch.Generator
    checkpoint: TrainingCheckpoint
    callback: Callable[[TrainingStep], None]


# from one state of a training that is kept to the next
_STEPS_KEPT = 100
# images of 64 x 64 and small networks: a quarter of the time of one at a time
_CPU_CHUNK = 16


@dataclass(frozen=True, eq=False)
class FewStepRuns:
    """The networks and what they draw, in units where the training slices have mean 0, spread 1.

    Args:
        slices: What is learnt from, ``(slices, size, size)``, in these units.
        seed: Of weights, batches and samples.
        folder: Where the states of unfinished trainings are.
    """

    slices: Tensor
    seed: int
    folder: Path

    def teacher(self, config: TeacherConfig) -> Arrays:
        """Train the flow of independent ends."""

        def base(count: int, generator: torch.Generator) -> Tensor:
            size, device = (count, 1, *self.slices.shape[1:]), generator.device
            return torch.randn(size, generator=generator, device=device)

        def target(count: int, generator: torch.Generator) -> Tensor:
            rows = torch.randint(
                len(self.slices), (count,), generator=generator, device=generator.device
            )
            return self.slices[rows].unsqueeze(1)

        def train(kept: _Kept) -> nn.Module:
            return train_field(
                config.build(self.generator("teacher weights")), "b", rectified(),
                IndependentCoupling(target, base), config.training(), antithetic=False,
                batch_size=config.batch_size, times=config.time_source, **kept,
            )  # fmt: skip

        return self._noted("teacher", config, train)

    def pairs(self, teacher: ImageField, count: int, num_steps: int) -> Arrays:
        """Integrate the teacher from noise to slices."""
        pairs = reflow_pairs(teacher, self.noise(count, "pairs"), time_grid(num_steps, 0.0, 1.0))
        return {"x0": pairs.x0.cpu().numpy(), "x1": pairs.x1.cpu().numpy()}

    def student(
        self, config: StudentConfig, pairs: Arrays, schedule: Annealing, label: str
    ) -> Arrays:
        """Train a straightened flow from nothing."""

        def train(kept: _Kept) -> nn.Module:
            return annealed_reflow(
                config.build(self.generator("student weights")), self._coupling(pairs), schedule,
                config.training(), batch_size=config.batch_size, times=config.time_source, **kept,
            )  # fmt: skip

        return self._noted(label, config, train)

    def one_step(
        self, config: OneStepConfig, network: nn.Module, student: nn.Module, pairs: Arrays
    ) -> Arrays:
        """Distil the student into a network that has its weights to begin with."""

        def train(kept: _Kept) -> nn.Module:
            return distil_one_step(
                network, told(student, None), self._coupling(pairs), config.training(),
                loss=config.loss(self.slices[0].numel()), batch_size=config.batch_size, **kept,
            )  # fmt: skip

        return self._noted("one_step", config, train)

    def samples(self, field: ImageField, count: int, calls: Sequence[int]) -> Arrays:
        """Draw from the same noise by Euler's method, with each number of calls."""
        arrays, x0 = {}, self.noise(count, "samples")
        for number in calls:
            start = time.perf_counter()
            with torch.no_grad():
                x = integrate_ode(field, x0, time_grid(number, 0.0, 1.0), method="euler")
            arrays[f"{number}"] = x.cpu().numpy()
            arrays[f"{number}/seconds"] = np.asarray((time.perf_counter() - start) / count)
        return arrays

    def field(self, config: TeacherConfig, trained: Arrays) -> tuple[ImageField, nn.Module]:
        """Return a trained flow of images without a channel axis, and its network."""
        network = config.build(self.generator("weights"))
        restore_weights(network, trained)
        network.requires_grad_(requires_grad=False)
        size = _CPU_CHUNK if self.slices.device.type == "cpu" else None
        return ImageField(told(network, None), tuple(self.slices.shape[1:]), size), network

    def noise(self, count: int, label: str) -> Tensor:
        """Draw white noise, ``(count, size, size)``."""
        size, device = (count, *self.slices.shape[1:]), self.slices.device
        return torch.randn(size, generator=self.generator(label), device=device)

    def generator(self, label: str) -> torch.Generator:
        """Return the stream of a purpose."""
        return derive_generator(self.seed, label, device=self.slices.device)

    def _coupling(self, pairs: Arrays) -> PairedCoupling:
        x0, x1 = (torch.from_numpy(pairs[name]).unsqueeze(1) for name in ("x0", "x1"))
        return PairedCoupling(x0.to(self.slices.device), x1.to(self.slices.device))

    def state(self, label: str) -> Path:
        """Return where the state of a training is until it ends."""
        return self.folder / f"{label}.safetensors"

    def _noted(
        self, label: str, config: UNetTraining, train: Callable[[_Kept], nn.Module]
    ) -> Arrays:
        """Return the weights of a training that may go on, and the loss of each step."""
        losses: list[Tensor] = []
        # plain and annealed students see the same noise
        generator = self.generator("student" if label == "plain" else label)
        about = {
            "network": config.model_dump_json(),
            "seed": str(self.seed),
            "slices": str(tuple(self.slices.shape)),
        }
        checkpoint = TrainingCheckpoint(
            self.state(label), about, every=_STEPS_KEPT, generators=(generator,)
        )
        trained = train(
            {
                "generator": generator,
                "checkpoint": checkpoint,
                "callback": lambda step: losses.append(step.loss),
            }
        )
        return stored_weights(trained) | {"loss": torch.stack(losses).float().cpu().numpy()}
