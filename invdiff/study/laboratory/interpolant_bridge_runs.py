"""Reconstructions of the held-out slices by each method, and how good they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import t as student
from torch import Tensor

from invdiff.classical import fbp, total_variation
from invdiff.interpolants.restoration import BridgePrior, BridgeRestoration
from invdiff.likelihood import Likelihood
from invdiff.metrics import psnr, ssim
from invdiff.priors import Denoiser, load_prior, rescale, resized
from invdiff.rng import derive_generator
from invdiff.samplers import RedDiff
from invdiff.study.scripted import Arrays

__all__ = ["BODY", "Comparison", "bridge_name", "calibration", "prior_at", "share_within"]

# truth below it is air, where nothing is uncertain
BODY = 0.05


def bridge_name(num_calls: int, data: bool) -> str:
    """Return the name of a variant in the metrics."""
    return f"bridge_{num_calls}_data" if data else f"bridge_{num_calls}"


@dataclass(frozen=True, eq=False)
class Comparison:
    """The methods on one batch of measurements.

    Args:
        likelihood: Of the held-out slices.
        truth: ``(slices, size, size)`` in [0, 1].
        seed: Of the samplers.
    """

    likelihood: Likelihood
    truth: Tensor
    seed: int

    def classical(self) -> Arrays:
        """Reconstruct by back-projection and by total variation."""

        def tv(known: Likelihood) -> Tensor:
            return total_variation(known, low=0.0)

        return self._timed("fbp", fbp) | self._timed("tv", tv)

    def bridge(
        self, prior: BridgePrior, variants: Sequence[BridgeRestoration], num_samples: int
    ) -> Arrays:
        """Draw samples by each variant; the longest one sets the budget of network calls."""
        arrays: Arrays = {}
        budget = max(sampler.num_calls for sampler in variants)
        for sampler in variants:

            def run(known: Likelihood, sampler: BridgeRestoration = sampler) -> Tensor:
                generator = derive_generator(self.seed, "samples", device=known.y.device)
                # one call has nothing random
                count = 1 if sampler.num_calls == 1 else num_samples
                return sampler.sample(known, prior, count, generator=generator).values

            name = bridge_name(sampler.num_calls, sampler.data_spread > 0)
            # all variants with as many calls in all: few long samples, or more short ones
            arrays |= self._timed(name, run, max(1, budget // sampler.num_calls))
        return arrays

    def regression(self, prior: BridgePrior) -> Arrays:
        """Reconstruct by one call of a network that was trained for it."""

        def run(known: Likelihood) -> Tensor:
            generator = derive_generator(self.seed, "regression", device=known.y.device)
            return BridgeRestoration(1).sample(known, prior, 1, generator=generator).values

        return self._timed("regression", run)

    def red_diff(self, prior: Denoiser, num_calls: Sequence[int]) -> Arrays:
        """Reconstruct by RED-diff with a general prior, see ``prior_at``."""
        arrays: Arrays = {}
        for count in num_calls:
            sampler = RedDiff(num_steps=count)

            def run(known: Likelihood, sampler: RedDiff = sampler) -> Tensor:
                generator = derive_generator(self.seed, "red-diff", device=known.y.device)
                with torch.no_grad():
                    return sampler.sample(known, prior, 1, generator=generator).values

            arrays |= self._timed(f"red_diff_{count}", run)
        return arrays

    def _timed(self, name: str, run: Callable[[Likelihood], Tensor], affordable: int = 1) -> Arrays:
        """Return images, scores and seconds of a method; samples come first.

        Args:
            name: Of the method.
            run: Reconstructs.
            affordable: Samples that the budget of network calls allows, whose mean is scored too.
        """
        start = time.perf_counter()
        images = run(self.likelihood)
        seconds = time.perf_counter() - start
        images = images.reshape(-1, *self.truth.shape)
        mean = images.mean(0).clamp(0, 1)
        scores = {
            "psnr": psnr(images.clamp(0, 1), self.truth, data_range=1.0).mean(0),
            "ssim": ssim(images.clamp(0, 1), self.truth, data_range=1.0).mean(0),
            "psnr_mean": psnr(mean, self.truth, data_range=1.0),
            "psnr_budget": psnr(
                images[:affordable].mean(0).clamp(0, 1), self.truth, data_range=1.0
            ),
        }
        arrays = {f"{name}/{key}": value.cpu().numpy() for key, value in scores.items()}
        arrays[f"{name}/seconds"] = np.asarray(seconds)
        arrays[f"{name}/images"] = images.half().cpu().numpy()
        return arrays | {
            f"{name}/{key}": np.asarray(value)
            for key, value in calibration(images, self.truth).items()
        }


def prior_at(name: str, side: int, device: str) -> Denoiser:
    """Return a shipped prior for square images in [0, 1].

    Raises:
        ValueError: No such prior, one of several channels, or a side that it can't have.
    """
    denoiser = resized(rescale(load_prior(name, device=device), 0.0, 1.0), (side, side))
    with torch.no_grad():
        try:
            denoiser(torch.zeros(side, side, device=device), torch.tensor(1.0, device=device))
        except RuntimeError as error:
            # such as a skip connection that meets a layer of another size
            reason = str(error).splitlines()[0]
            raise ValueError(f"prior: {name} with images of side {side}: {reason}") from None
    return denoiser


def share_within(num_samples: int) -> float:
    """Return the share of errors below one deviation, of calibrated normal samples.

    The deviation of few samples is uncertain, so it is that of Student's law: 0.683 only of many.
    """
    return float(2 * student.cdf(1, num_samples - 1) - 1)


def calibration(images: Tensor, truth: Tensor) -> dict[str, float]:
    """Return how the spread of samples compares with the error of their mean, in the body.

    Args:
        images: ``(samples, slices, height, width)``.
        truth: ``(slices, height, width)``.

    Returns:
        ``spread``, the root mean square of the standard deviation; ``error``, that of the error
        of the mean; and ``within``, the share of pixels whose error is below one deviation, for a
        normal posterior ``share_within``. The deviation of the mean of the samples from the
        truth is larger than that of the samples by a factor, which is taken in. Empty for one
        sample.
    """
    count = len(images)
    if count < 2:
        return {}
    body = truth > BODY
    error = (images.mean(0) - truth)[body].abs()
    # truth and samples are draws of one law: their mean is off by a little more than its spread
    deviation = images.std(0)[body] * (1 + 1 / count) ** 0.5
    return {
        "spread": float(deviation.square().mean().sqrt()),
        "error": float(error.square().mean().sqrt()),
        "within": float((error <= deviation).float().mean()),
    }
