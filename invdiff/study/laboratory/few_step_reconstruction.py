"""Few-view CT of held-out slices by the one-step generator, RED-diff and total variation."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from invdiff.classical import total_variation
from invdiff.interpolants.flow_prior import FlowPrior
from invdiff.interpolants.image_field import ImageField
from invdiff.interpolants.interpolant import OneSided
from invdiff.interpolants.latent_map import LatentMap
from invdiff.interpolants.one_step import OneStepPrior
from invdiff.interpolants.process import FieldProcess
from invdiff.likelihood import Likelihood
from invdiff.metrics import psnr, ssim
from invdiff.priors import rescale
from invdiff.rng import derive_generator
from invdiff.samplers import RedDiff
from invdiff.study.laboratory.few_step_config import ReconstructionConfig
from invdiff.study.laboratory.interpolant_bridge_data import sparse_scan
from invdiff.study.scripted import Arrays, Metrics

__all__ = ["METHODS", "FewViews", "few_view_means"]

METHODS = {
    "tv": "total variation",
    "red_diff": "RED-diff, flow",
    "latent": "latent, one step",
}


@dataclass(frozen=True, eq=False)
class FewViews:
    """The methods on one batch of measurements.

    Args:
        config: How it is measured and searched.
        training: Slices in [0, 1] that set the unit of the noise, ``(slices, size, size)``.
        truth: What is measured, ``(slices, size, size)`` in [0, 1].
        middle: 0 of the flows, in units of the slices.
        spread: 1 of the flows, in units of the slices.
        seed: Of noise and searches.
    """

    config: ReconstructionConfig
    training: Tensor
    truth: Tensor
    middle: float
    spread: float
    seed: int

    def compare(self, teacher: ImageField, one_step: ImageField) -> Arrays:
        """Return images, scores and seconds of each method.

        Args:
            teacher: Flow of independent ends.
            one_step: Distilled.
        """
        scan = sparse_scan(self.training, self.config.views, self.config.noise)
        known = scan.measured(self.truth, self._generator("measurement"))
        methods: dict[str, Callable[[], Tensor]] = {
            "tv": lambda: total_variation(known, low=0.0),
            "red_diff": lambda: self._red_diff(known, teacher),
            "latent": lambda: self._latent(known, one_step),
        }
        arrays: Arrays = {}
        for name, method in methods.items():
            arrays |= {f"{name}/{key}": value for key, value in self._scored(method).items()}
        return arrays

    def _red_diff(self, known: Likelihood, teacher: ImageField) -> Tensor:
        ends = (-self.middle / self.spread, (1 - self.middle) / self.spread)
        prior = rescale(FlowPrior(FieldProcess(OneSided(), b=teacher), ends), 0.0, 1.0)
        sampler = RedDiff(num_steps=self.config.red_diff_calls)
        with torch.no_grad():
            found = sampler.sample(known, prior, 1, generator=self._generator("red-diff"))
        return found.values.squeeze(0)

    def _latent(self, known: Likelihood, one_step: ImageField) -> Tensor:
        shape, config = tuple(self.truth.shape[1:]), self.config
        prior = OneStepPrior(one_step, shape)
        search = LatentMap(config.num_steps, config.learning_rate, config.num_restarts)
        return search.reconstruct(
            known, lambda z: prior(z) * self.spread + self.middle, shape,
            generator=self._generator("latent"),
        ).image  # fmt: skip

    def _scored(self, method: Callable[[], Tensor]) -> Arrays:
        start = time.perf_counter()
        images = method()
        seconds = time.perf_counter() - start
        inside = images.clamp(0, 1)
        return {
            "images": images.cpu().numpy(),
            "psnr": psnr(inside, self.truth, data_range=1.0).cpu().numpy(),
            "ssim": ssim(inside, self.truth, data_range=1.0).cpu().numpy(),
            "seconds": np.asarray(seconds / len(self.truth)),
        }

    def _generator(self, label: str) -> torch.Generator:
        return derive_generator(self.seed, "few views", label, device=self.truth.device)


def few_view_means(arrays: Arrays) -> Metrics:
    """Return the mean scores and the seconds of each method, of what was compared."""
    return {
        f"{score}_{name}": float(arrays[f"{name}/{score}"].mean())
        for name in METHODS
        for score in ("psnr", "ssim", "seconds")
    }
