"""Train a prior on one's own slices, and say how good it is on those it hasn't seen."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import nn

from invdiff.priors import PretrainedPrior
from invdiff.rng import derive_generator
from invdiff.study.base import SampleName
from invdiff.study.denoising_line import decibels
from invdiff.study.prior_text import PriorText
from invdiff.study.prior_training import figures, tables
from invdiff.study.prior_training.augmentation import AugmentationConfig
from invdiff.study.prior_training.card import save_with_card
from invdiff.study.prior_training.fitting import end_parts, fitted, take_part, untrained
from invdiff.study.prior_training.judge import judged
from invdiff.study.prior_training.network import UNetConfig
from invdiff.study.prior_training.objective import ObjectiveConfig
from invdiff.study.prior_training.optimisation import AverageConfig, OptimisationConfig
from invdiff.study.prior_training.trial import TrialConfig
from invdiff.study.scripted import Arrays, Link, Metrics, Outcome, Table
from invdiff.study.slices import SliceSource, Split, SplitConfig, spread_rows
from invdiff.study.stages import Stages
from invdiff.study.stored_weights import restore_weights
from invdiff.study.trains import TrainingStudy
from invdiff.training.slice_set import SliceSet, without_channel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PriorTraining"]

_NUM_PICTURES = 16
# whose slices they were, where they lie, and what the card says elsewhere
_NOT_IN_CARD: dict[str, Any] = {
    "slices": True,
    "fallback": True,
    "prior": True,
    "split": {"heldout": True, "training": True},
}


class PriorTraining(TrainingStudy):
    """Train a network on slices, save it as a prior, and judge it on subjects kept from it.

    Args:
        slices: Where they are.
        fallback: The sample that is read if they are not there.
        split: Which are kept from the training.
        network: What is trained.
        objective: What it learns to say.
        augmentation: How the images are changed.
        optimisation: How it is trained.
        averages: Of its weights.
        label_dropout: Share of the images whose class it isn't told, where slices have classes.
        sigmas: Noise levels at which it is judged, for images in [-1, 1].
        num_heldout: Held-out slices that it is judged on, spread over all of them.
        num_samples: Images of the prior that are drawn.
        sample_steps: Steps of the ODE that draws them.
        target_loss: Held-out loss that is to be reached; the report says whether it was.
        trial: A reconstruction with the prior.
        prior: What its folder says.
    """

    kind: Literal["prior-training"] = "prior-training"
    slices: SliceSource
    fallback: SampleName | None = None
    split: SplitConfig = SplitConfig()
    network: UNetConfig = UNetConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    optimisation: OptimisationConfig = OptimisationConfig()
    averages: AverageConfig = AverageConfig()
    label_dropout: float = Field(default=0.1, ge=0, le=1)
    sigmas: tuple[PositiveFloat, ...] = Field((0.1, 0.3, 1.0), min_length=1)
    num_heldout: PositiveInt = 64
    num_samples: NonNegativeInt = 8
    sample_steps: PositiveInt = 18
    target_loss: PositiveFloat | None = None
    trial: TrialConfig | None = None
    prior: PriorText

    @model_validator(mode="after")
    def _check_compiled(self) -> Self:
        # inductor (torch 2.13) leaves the gradients of some convolutions at 0 on a CPU
        if self.optimisation.compile and self.device.startswith("cpu"):
            raise ValueError("optimisation.compile: is for GPUs, gradients are wrong on a CPU")
        return self

    def check_inputs(self) -> None:
        """Refuse slices that aren't there, and a trial that can't be run."""
        self.slices.check(self.fallback)
        if self.trial is not None:
            self.trial.read("the-trained-prior", self.device)

    def compute(self, stages: Stages) -> Outcome:
        """Train, denoise and draw what was held out, and try the prior."""
        split = self.split_slices()
        if self.trial is not None:
            self.trial.check(self._untrained_prior(split), self.device)
        trained = stages.run("training", partial(fitted, self, split, stages.folder))
        network = untrained(self, split.slices)
        restore_weights(network, trained)
        network = network.to(self.device)
        kept = self.judged_slices(split).to(self.device)
        found = stages.run("heldout", partial(judged, self, network, kept))
        arrays = found | _without_weights(trained) | self._pictures(split)
        metrics = self._metrics(arrays, split, network)
        save = partial(
            save_with_card, study=self, network=network, metrics=metrics,
            info=self._info(split, metrics),
        )  # fmt: skip
        folders: dict[str, Any] = {"prior": save}
        if self.trial is not None:
            prior, out = stages.folder / "prior", stages.folder / "trial"
            save(prior)
            metrics = metrics | self.trial.run(prior, self.device, out)
            folders["trial"] = partial(self.trial.keep, out, prior)
        return Outcome(metrics, arrays, folders=folders)

    def split_slices(self) -> Split:
        """Read the slices, and keep some from the training.

        Raises:
            ValueError: One line: what can't be read, or slices of a size that the network can't
                halve.
        """
        slices = self.slices.read(self.fallback)
        height, width = slices.values.shape[-2:]
        if height != width or height % self.network.unit:
            raise ValueError(
                f"slices: expected squares whose side is a multiple of {self.network.unit} "
                f"(network.channels), got {height} x {width}"
            )
        return self.split.split(slices)

    def judged_slices(self, split: Split) -> SliceSet:
        """Return the held-out slices that the prior is judged on."""
        rows = spread_rows(len(split.heldout_rows), self.num_heldout).tolist()
        return split.slices.subset([split.heldout_rows[i] for i in rows])

    def take_part(self, folder: Path) -> None:
        """Train with the main process when it does, as a process that writes nothing."""
        take_part(self, folder)

    def end_parts(self, *, refused: bool = False) -> None:
        """Tell the processes of ``take_part`` that there is nothing more to do."""
        end_parts(self, refused=refused)

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw slices, loss, denoising and samples."""
        drawn = {
            "slices": figures.pictures(arrays["slices"]),
            "augmented": figures.pictures(arrays["augmented"]),
            "loss": figures.loss(arrays),
            "length": figures.length(arrays),
            "denoising": figures.denoising(arrays, self.sigmas),
        }
        if len(arrays["samples"]):
            drawn["samples"] = figures.pictures(arrays["samples"])
        return drawn

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        return tables.CAPTIONS

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return denoising by noise level, and the trial."""
        return tables.tables(self.sigmas, metrics)

    def summary(self, metrics: Metrics) -> str:
        """Say what it was trained on, and how good it is."""
        return tables.summary(metrics, self.target_loss)

    def links(self, folder: Path) -> list[Link]:
        """Link to the trial."""
        if self.trial is None:
            return []
        return [Link("Open the first reconstruction with this prior", "trial/report.html")]

    def _untrained_prior(self, split: Split) -> PretrainedPrior:
        classes = list(split.slices.classes)
        return PretrainedPrior(
            untrained(self, split.slices),
            self.objective.build().preconditioning,
            info={"classes": classes},
            label=0 if classes else None,
        )

    def _pictures(self, split: Split) -> Arrays:
        # every access to split.training copies all of them
        rows = spread_rows(len(split.training_rows), _NUM_PICTURES).tolist()
        shown = split.slices.subset([split.training_rows[i] for i in rows]).images()
        generator = derive_generator(self.seed, "augmented")
        changed = self.augmentation.build()(shown, generator)
        return {
            name: without_channel(images).numpy()
            for name, images in (("slices", shown), ("augmented", changed))
        }

    def _metrics(self, arrays: Arrays, split: Split, network: nn.Module) -> Metrics:
        last = max(1, len(arrays["loss"]) // 10)
        sides = split.describe()
        pooled = decibels(arrays["errors"])
        return {
            # of the chosen average, at the end of its curve
            "loss_heldout": float(arrays["snapshot_losses"][-1]),
            "loss_training": float(arrays["loss"][-last:].mean()),
            "average_length": float(arrays["length"]),
            **{f"psnr_{s:g}": float(v) for s, v in zip(self.sigmas, pooled, strict=True)},
            "num_training": sides["training"]["num_slices"],
            "num_heldout": sides["heldout"]["num_slices"],
            "num_judged": len(arrays["subjects"]),
            "by_subject": int(split.by_subject),
            "num_parameters": sum(p.numel() for p in network.parameters()),
            "training_seconds": float(arrays["seconds"]),
        }

    def _info(self, split: Split, metrics: Metrics) -> dict[str, Any]:
        slices, objective = split.slices, self.objective
        info = self.prior.model_dump(mode="json") | {
            "data_range": [-1.0, 1.0],
            "size": slices.values.shape[-1],
            "num_channels": slices.values.shape[1],
            "pixel_mm": self.slices.pixel_mm,
            "classes": list(slices.classes),
            "split": split.describe(),
            "heldout": metrics,
            "training": self.model_dump(mode="json", exclude=_NOT_IN_CARD),
        }
        return info | ({"dof": objective.dof} if math.isfinite(objective.noise_dof) else {})


def _without_weights(arrays: Arrays) -> Arrays:
    return {name: value for name, value in arrays.items() if "/" not in name}
