"""Train a super-resolution prior on slices, and say what it does on those it hasn't seen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from invdiff.priors.preconditioning import EDM
from invdiff.rng import derive_generator
from invdiff.study.base import SampleName
from invdiff.study.laboratory import sr_training_figures as figures
from invdiff.study.laboratory.sr_training_config import NetworkConfig
from invdiff.study.laboratory.sr_training_scores import decibels, denoising_errors, drawn_samples
from invdiff.study.prior_text import PriorText
from invdiff.study.scripted import Arrays, Metrics, Outcome, ScriptedStudy, Table
from invdiff.study.slices import (
    SliceSource,
    Split,
    SplitConfig,
    grey_levels,
    spread_rows,
    varied_parts,
)
from invdiff.study.stages import Stages
from invdiff.study.stored_weights import restore_weights, stored_weights
from invdiff.superres.integrators import integrator_named
from invdiff.superres.network_prior import SuperResolutionPrior
from invdiff.superres.ode import SuperResolutionOde
from invdiff.superres.recipe import drawn_loss, train_super_resolution
from invdiff.training import TrainingStep, save_prior

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SRTraining"]

# batches that the held-out loss is the mean of, and images that are drawn
_NUM_BATCHES, _NUM_EXAMPLES = 20, 4


class SRTraining(ScriptedStudy):
    """Train a network on slices, save it as a prior, and judge it on slices kept from it.

    Args:
        slices: Where they are.
        fallback: The sample that is read if they are not there.
        holdout: Which are kept from the training.
        network: What is trained, and how.
        sigmas: Noise levels at which it is judged, for images in [-1, 1].
        num_heldout: Parts of held-out slices that it is judged on.
        num_samples: Images drawn for each coarse one.
        integrator: Method of the ODE that draws them.
        num_calls: Network calls for each.
        prior: What its folder says.
    """

    kind: Literal["sr-training"] = "sr-training"
    slices: SliceSource
    fallback: SampleName | None = None
    holdout: SplitConfig = SplitConfig()
    network: NetworkConfig = NetworkConfig()
    sigmas: tuple[PositiveFloat, ...] = Field((0.02, 0.05, 0.1, 0.3, 1.0), min_length=1)
    num_heldout: PositiveInt = 64
    num_samples: PositiveInt = 8
    integrator: str = "ddim"
    num_calls: Annotated[int, Field(ge=2)] = 20
    prior: PriorText

    @model_validator(mode="after")
    def _check_integrator(self) -> Self:
        integrator_named(self.integrator).for_calls(self.num_calls)
        if self.network.graph and self.device == "cpu":
            raise ValueError("network.graph: needs a CUDA device")
        return self

    def compute(self, stages: Stages) -> Outcome:
        """Train, then denoise and draw what was held out."""
        parts = self.holdout.split(self.slices.read(self.fallback))
        trained = stages.run("training", partial(self._train, parts))
        prior = self._prior(trained)
        judged = stages.run("heldout", partial(self._judge, prior, parts))
        arrays = {"loss": trained["loss"], "sigmas": np.array(self.sigmas)} | judged
        metrics = self._metrics(arrays, parts) | {
            "num_parameters": sum(p.numel() for p in prior.network.parameters()),
            "training_seconds": float(trained["seconds"]),
        }
        save: Callable[[Path], None] = partial(
            save_prior,
            network=prior.network,
            preconditioning=prior.preconditioning,
            info=self._info(metrics),
        )
        return Outcome(metrics, arrays, folders={"prior": save})

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw loss, denoising and samples."""
        return {
            "loss": figures.loss(arrays, metrics["loss_heldout"]),
            "denoising": figures.denoising(arrays),
            "samples": figures.samples(arrays),
        }

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        return {
            "loss": "Loss of each step (grey) and means of it. Dashed: the same loss of the "
            "averaged weights, on slices that were held out.",
            "denoising": "How much nearer to held-out images the denoised ones are than bicubic "
            "enlargement of the coarse image. At little noise there is the noisy image to lean "
            "on; at much noise what is left is super-resolution. Blue: the best without a "
            "network, which weighs enlargement and noisy image by the spread of their difference.",
            "samples": f"Held-out images, {self.num_calls} network calls a sample; PSNR below.",
        }

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return one table, a noise level a row."""
        rows = tuple(
            (f"{s:g}", *(f"{metrics[f'{name}_{s:g}']:.2f}" for name in ("psnr", "gain", "learnt")))
            for s in self.sigmas
        )
        caption = (
            "Mean square errors are averaged over all pixels before the logarithm. Gain: over "
            f"bicubic enlargement, {metrics['psnr_bicubic']:.2f} dB. Learnt: over the best without "
            "a network, which knows the spread of the residual alone."
        )
        columns = ("noise level", "PSNR (dB)", "gain (dB)", "learnt (dB)")
        return [Table("Denoising of held-out images", columns, rows, caption)]

    def summary(self, metrics: Metrics) -> str:
        """Say what it was trained on and what it gains."""
        kept = "other subjects" if metrics["by_subject"] else "a block at the end of the archive"
        return (
            f"Trained on {metrics['num_training']} slices in {metrics['training_seconds']:.0f} s, "
            f"judged on {metrics['num_heldout']} of {kept}. Held-out loss "
            f"{metrics['loss_heldout']:.3f}, at the end of the training "
            f"{metrics['loss_training']:.3f}; 1 is a network that says nothing where the spread is "
            f"{self.network.sigma_data:g}. Examples: bicubic "
            f"{metrics['example_psnr_bicubic']:.2f} dB, one sample "
            f"{metrics['example_psnr_samples']:.2f} dB, the mean of {self.num_samples} "
            f"{metrics['example_psnr_mean']:.2f} dB. The folder prior holds the network."
        )

    def _train(self, parts: Split) -> Arrays:
        losses: list[Tensor] = []

        def note(step: TrainingStep) -> None:
            losses.append(step.loss)

        prior = train_super_resolution(
            grey_levels(parts.training),
            self.network.build(),
            generator=self._generator("training"),
            device=self.device,
            graph=self.network.graph,
            callback=note,
        )
        return stored_weights(prior.network) | {"loss": torch.stack(losses).float().cpu().numpy()}

    def _prior(self, trained: Arrays) -> SuperResolutionPrior:
        recipe = self.network.build()
        # the weights that diffusers draws are thrown away
        with torch.random.fork_rng(devices=[]):
            network: nn.Module = recipe.network()
        restore_weights(network, trained)
        return SuperResolutionPrior(
            network.to(self.device),
            EDM(recipe.sigma_data),
            factor=recipe.factor,
            patch=recipe.patch,
            chunk_size=recipe.batch_size,
        )

    def _judge(self, prior: SuperResolutionPrior, parts: Split) -> Arrays:
        recipe, kept = self.network.build(), grey_levels(parts.heldout).to(self.device)
        noise = self._generator("heldout-loss")
        with torch.no_grad():
            losses = [
                drawn_loss(prior.network, prior, kept, recipe, noise) for _ in range(_NUM_BATCHES)
            ]
        places = derive_generator(self.seed, "places")
        fine = varied_parts(grey_levels(parts.heldout), self.network.crop, self.num_heldout, places)
        fine = fine.to(self.device)
        errors = denoising_errors(prior, fine, self.sigmas, self._generator("noise"))
        ode = SuperResolutionOde(prior, self.integrator, num_calls=self.num_calls)
        chosen = spread_rows(len(fine), _NUM_EXAMPLES)
        boundary = self._generator("boundary")
        drawn = drawn_samples(ode, prior, fine[chosen], self.num_samples, boundary)
        drawn["enlarged"] = drawn.pop("bicubic")
        return {"loss_heldout": torch.stack(losses).mean().cpu().numpy()} | errors | drawn

    def _metrics(self, arrays: Arrays, parts: Split) -> Metrics:
        last = max(1, len(arrays["loss"]) // 10)
        bicubic, denoised, shrunk = (
            decibels(arrays[name]) for name in ("bicubic", "denoised", "shrunk")
        )
        metrics: Metrics = {
            "loss_training": float(arrays["loss"][-last:].mean()),
            "loss_heldout": float(arrays["loss_heldout"]),
            "psnr_bicubic": float(bicubic[0]),
        }
        for i, sigma in enumerate(self.sigmas):
            metrics |= {
                f"psnr_{sigma:g}": float(denoised[i]),
                f"gain_{sigma:g}": float(denoised[i] - bicubic[i]),
                f"learnt_{sigma:g}": float(denoised[i] - shrunk[i]),
            }
        for name in ("bicubic", "samples", "mean"):
            metrics[f"example_psnr_{name}"] = float(arrays[f"psnr_{name}"].mean())
        return metrics | {
            "num_training": len(parts.training_rows),
            "num_heldout": len(parts.heldout_rows),
            "by_subject": int(parts.by_subject),
        }

    def _info(self, metrics: Metrics) -> dict[str, Any]:
        network = self.network
        return self.prior.model_dump(mode="json") | {
            "data_range": [-1.0, 1.0],
            "kernel": "bicubic",
            "factor": network.factor,
            "patch": network.patch,
            "training": network.model_dump(mode="json"),
            "heldout": metrics,
        }

    def _generator(self, label: str) -> torch.Generator:
        return derive_generator(self.seed, label, device=self.device)
