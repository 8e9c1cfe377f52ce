"""Refine filtered back-projections and zero-filled images by a conditional diffusion."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from invdiff.rng import derive_generator
from invdiff.study.base import Config, SampleName
from invdiff.study.laboratory import classical_refinement_figures as figures
from invdiff.study.laboratory.classical_refinement_runs import (
    judged,
    rough_pairs,
    spread_over_error,
)
from invdiff.study.laboratory.classical_refinement_scans import FewLines, FewViews
from invdiff.study.laboratory.unet_training import UNetTraining
from invdiff.study.scripted import Arrays, Metrics, Outcome, ScriptedStudy, Table
from invdiff.study.slices import SliceSource, Split, SplitConfig
from invdiff.study.stages import Stages
from invdiff.study.stored_weights import restore_weights, stored_weights
from invdiff.superres.network_prior import SuperResolutionPrior
from invdiff.superres.refiner import RefinerRecipe, train_refiner
from invdiff.superres.shifted_diffusion import ShiftedDiffusion
from invdiff.training import NoiseLevels, TrainingStep

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ClassicalRefinement", "RefinementTask", "RefinerNetwork"]

_ROUGH = {"few-views": "filtered back-projection", "few-lines": "zero-filled"}
_METHODS = ("rough", "tv", "samples", "mean", "consistent")


class RefinementTask(Config):
    """What is scanned, and how.

    Args:
        slices: Where the slices are.
        fallback: The sample that is read if they are not there.
        holdout: Which are kept from the training.
        scan: The measurement.
    """

    slices: SliceSource
    fallback: SampleName | None = None
    holdout: SplitConfig = SplitConfig()
    scan: Annotated[FewViews | FewLines, Field(discriminator="kind")]

    def parts(self) -> Split:
        """Return the slices, in two parts."""
        return self.holdout.split(self.slices.read(self.fallback))


class RefinerNetwork(UNetTraining):
    """Network and optimisation, see ``RefinerRecipe``.

    Args:
        log_mean: Of the noise levels' normal logarithm, of images in [-1, 1].
        log_std: Its standard deviation.
    """

    log_mean: float = -2.0
    log_std: PositiveFloat = 1.5

    def build(self, sigma_data: float) -> RefinerRecipe:
        """Return the recipe."""
        return RefinerRecipe(
            patch=self.patch,
            channels=self.channels,
            layers=self.layers,
            batch_size=self.batch_size,
            sigma_data=sigma_data,
            levels=NoiseLevels(self.log_mean, self.log_std),
            training=self.training(),
        )


class ClassicalRefinement(ScriptedStudy):
    """Train a network for each scan to draw images given rough ones, and judge the draws.

    Args:
        tasks: By the name that the report gives them.
        network: What is trained, and how; alike for all.
        num_steps: Of the diffusion that draws.
        sigma_max: Its highest noise level, of images in [-1, 1].
        sigma_min: Its lowest.
        num_images: Held-out slices that are judged.
        num_samples: Images drawn for each.
    """

    kind: Literal["classical-refinement"] = "classical-refinement"
    tasks: dict[str, RefinementTask] = Field(min_length=1)
    network: RefinerNetwork = RefinerNetwork()
    num_steps: Annotated[int, Field(ge=2)] = 60
    sigma_max: PositiveFloat = 10.0
    sigma_min: PositiveFloat = 0.01
    num_images: PositiveInt = 16
    num_samples: Annotated[int, Field(ge=2)] = 8

    @model_validator(mode="after")
    def _check_choices(self) -> Self:
        if wrong := [name for name in self.tasks if not name.isidentifier()]:
            raise ValueError(f"tasks: expected names of letters and digits, got {wrong[0]!r}")
        if self.device != "cpu":
            raise ValueError(f"device: this study runs on a CPU, got {self.device}")
        self.sampler()
        return self

    def sampler(self) -> ShiftedDiffusion:
        """Return the diffusion that draws."""
        return ShiftedDiffusion(self.num_steps, self.sigma_max, self.sigma_min)

    def check_inputs(self) -> None:
        """Refuse slices that aren't there."""
        for task in self.tasks.values():
            task.slices.check(task.fallback)

    def compute(self, stages: Stages) -> Outcome:
        """Train on the pairs of each task, then refine what was held out."""
        metrics: Metrics = {}
        arrays: Arrays = {}
        for name, task in self.tasks.items():
            parts = task.parts()
            trained = stages.run(f"training-{name}", partial(self._train, name, task, parts))
            prior = self._prior(trained)
            found = stages.run(f"heldout-{name}", partial(self._judge, task, parts, prior))
            metrics |= _metrics(name, found, trained, parts)
            arrays |= {f"{name}_{key}": values for key, values in found.items()}
            arrays[f"{name}_loss"] = trained["loss"]
        return Outcome(metrics, arrays)

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw the losses, and images of each task."""
        drawn = {"loss": figures.loss({name: arrays[f"{name}_loss"] for name in self.tasks})}
        for name, task in self.tasks.items():
            prefix = f"{name}_"
            own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
            drawn[f"images_{name}"] = figures.images(own, _ROUGH[task.scan.kind])
        return drawn

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        shown = {
            f"images_{name}": f"Held-out slices of {name}: PSNR below. The spread is the standard "
            f"deviation of {self.num_samples} samples."
            for name in self.tasks
        }
        return {"loss": "Loss of each step (grey) and means of it; 1 says nothing."} | shown

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return one table, a scan a row."""
        rows = tuple(
            (
                f"{name}: {_ROUGH[task.scan.kind]}",
                *(f"{metrics[f'{name}_psnr_{method}']:.2f}" for method in _METHODS),
                f"{metrics[f'{name}_spread_over_error']:.2f}",
            )
            for name, task in self.tasks.items()
        )
        columns = (
            "scan", "rough (dB)", "least variation (dB)", "one sample (dB)", "mean (dB)",
            "mean and data (dB)", "spread / error",
        )  # fmt: skip
        caption = (
            f"Mean PSNR of {self.num_images} held-out slices or of all there are, clipped to the "
            "range. The refined images see the rough one and not the data; mean and data: their "
            "mean after one proximal step on the data. Spread / error: of the samples and of their "
            "mean, root mean squares; 1 for samples of the posterior."
        )
        return [Table("Held-out reconstructions", columns, rows, caption)]

    def summary(self, metrics: Metrics) -> str:
        """Say what was trained on, and what it gains."""
        return " ".join(
            f"{name}: trained on {metrics[f'{name}_num_training']} slices in "
            f"{metrics[f'{name}_training_seconds']:.0f} s; the mean of {self.num_samples} refined "
            f"images reaches {metrics[f'{name}_psnr_mean']:.2f} dB, the rough one "
            f"{metrics[f'{name}_psnr_rough']:.2f} dB, least variation "
            f"{metrics[f'{name}_psnr_tv']:.2f} dB."
            for name in self.tasks
        )

    def _train(self, name: str, task: RefinementTask, parts: Split) -> Arrays:
        losses: list[Tensor] = []

        def note(step: TrainingStep) -> None:
            losses.append(step.loss)

        start = time.perf_counter()
        pairs = rough_pairs(task.scan, parts, self.seed)
        truth, rough = 2 * pairs.truth - 1, 2 * pairs.rough - 1
        sigma_data = float((truth - rough).square().mean().sqrt())
        generator = derive_generator(self.seed, "training", name)
        recipe = self.network.build(sigma_data)
        prior = train_refiner(truth, rough, recipe, generator=generator, callback=note)
        return stored_weights(prior.network) | {
            "loss": torch.stack(losses).float().numpy(),
            "sigma_data": np.array(sigma_data),
            "seconds": np.array(time.perf_counter() - start),
        }

    def _prior(self, trained: Arrays) -> SuperResolutionPrior:
        recipe = self.network.build(float(trained["sigma_data"]))
        # the weights that diffusers draws are thrown away
        with torch.random.fork_rng(devices=[]):
            network = recipe.network()
        restore_weights(network, trained)
        return recipe.prior(network)

    def _judge(self, task: RefinementTask, parts: Split, prior: SuperResolutionPrior) -> Arrays:
        return judged(
            task.scan,
            parts,
            prior,
            self.sampler(),
            num_images=self.num_images,
            num_samples=self.num_samples,
            seed=self.seed,
        )


def _metrics(name: str, found: Arrays, trained: Arrays, parts: Split) -> Metrics:
    return {f"{name}_psnr_{m}": float(found[f"psnr_{m}"].mean()) for m in _METHODS} | {
        f"{name}_spread_over_error": spread_over_error(found),
        f"{name}_sigma_data": float(trained["sigma_data"]),
        f"{name}_num_training": len(parts.training_rows),
        f"{name}_num_heldout": len(parts.heldout_rows),
        f"{name}_by_subject": int(parts.by_subject),
        f"{name}_training_seconds": float(trained["seconds"]),
    }
