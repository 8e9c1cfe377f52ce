"""How well priors denoise slices, of anybody's: which one suits these data."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from invdiff.rng import derive_generator
from invdiff.study.base import SampleName
from invdiff.study.config import PriorConfig
from invdiff.study.denoising_line import decibels
from invdiff.study.laboratory import prior_denoising_figures as figures
from invdiff.study.scripted import Arrays, Metrics, Outcome, ScriptedStudy, Table
from invdiff.study.slices import SliceSource, spread_rows
from invdiff.study.stages import Stages
from invdiff.training.denoising import denoising_psnr
from invdiff.training.slice_set import SliceSet, without_channel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PriorDenoising"]

_NUM_SHOWN = 3


class PriorDenoising(ScriptedStudy):
    """Remove noise of known levels from slices by several priors, the same noise for all.

    Args:
        slices: Where they are; of people that no prior has learnt from, or it says little.
        fallback: The sample that is read if they are not there.
        num_slices: Slices that are used, spread over all of them.
        priors: By the name that the report gives them.
        sigmas: Noise levels, for images in [-1, 1].
    """

    kind: Literal["prior-denoising"] = "prior-denoising"
    slices: SliceSource
    fallback: SampleName | None = None
    num_slices: PositiveInt = 32
    priors: dict[str, PriorConfig] = Field(min_length=1)
    sigmas: tuple[PositiveFloat, ...] = Field((0.1, 0.3, 1.0), min_length=1)

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        if wrong := [name for name in self.priors if not name or "/" in name]:
            raise ValueError(f"priors: expected names without /, got {wrong[0]!r}")
        return self

    def check_inputs(self) -> None:
        """Refuse slices that aren't there."""
        self.slices.check(self.fallback)

    def compute(self, stages: Stages) -> Outcome:
        """Denoise with each prior."""
        slices = self._chosen()
        arrays: Arrays = {"subjects": np.array(slices.subjects), "sigmas": np.array(self.sigmas)}
        for name, config in self.priors.items():
            found = stages.run(f"prior-{name}", partial(self._judge, config, slices))
            arrays |= {f"{name}/{key}": value for key, value in found.items()}
        arrays["shown"] = self._shown(slices).numpy()
        return Outcome(self._metrics(arrays), arrays)

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw PSNR by noise level, and denoised slices."""
        names = tuple(self.priors)
        return {
            "denoising": figures.denoising(arrays, names),
            "pictures": figures.pictures(arrays, names),
        }

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        return {
            "denoising": "Errors are averaged over all pixels of all slices before the logarithm; "
            "thin lines are single subjects.",
            "pictures": f"Slices, the same with noise of level {self.sigmas[-1]:g}, and what each "
            "prior makes of them.",
        }

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return PSNR by prior and noise level."""
        rows = tuple(
            (name, *(f"{metrics[f'psnr_{name}_{sigma:g}']:.2f}" for sigma in self.sigmas))
            for name in self.priors
        )
        columns = ("prior", *(f"sigma {sigma:g}" for sigma in self.sigmas))
        return [Table("Denoising (PSNR in dB)", columns, rows)]

    def summary(self, metrics: Metrics) -> str:
        """Say what was denoised."""
        return (
            f"{metrics['num_slices']} slices of {metrics['num_subjects'] or 'unknown'} subjects, "
            f"the same noise for {len(self.priors)} prior(s)."
        )

    def _chosen(self) -> SliceSet:
        slices = self.slices.read(self.fallback)
        return slices.subset(spread_rows(len(slices), self.num_slices).tolist())

    def _shown(self, slices: SliceSet) -> Tensor:
        return without_channel(slices.images(spread_rows(len(slices), _NUM_SHOWN)))

    def _judge(self, config: PriorConfig, slices: SliceSet) -> Arrays:
        images = without_channel(slices.images())
        prior = config.load(self.device, (images.shape[-2], images.shape[-1]))
        scores = denoising_psnr(
            prior,
            images.to(self.device),
            self.sigmas,
            generator=derive_generator(self.seed, "denoising"),
        )
        shown, sigma = self._shown(slices).to(self.device), torch.tensor(self.sigmas[-1])
        noise = torch.randn(shown.shape, generator=derive_generator(self.seed, "shown"))
        noisy = shown + sigma * noise.to(self.device)
        with torch.no_grad():
            denoised = prior(noisy, sigma.to(self.device))
        return {
            "errors": scores.errors.numpy(),
            "noisy": noisy.cpu().numpy(),
            "denoised": denoised.cpu().numpy(),
        }

    def _metrics(self, arrays: Arrays) -> Metrics:
        metrics: Metrics = {}
        for name in self.priors:
            pooled = decibels(arrays[f"{name}/errors"])
            metrics |= {
                f"psnr_{name}_{s:g}": float(v) for s, v in zip(self.sigmas, pooled, strict=True)
            }
            metrics[f"seconds_{name}"] = float(arrays[f"{name}/seconds"])
        return metrics | {
            "num_slices": len(arrays["subjects"]),
            "num_subjects": len(set(arrays["subjects"].tolist()) - {""}),
        }
