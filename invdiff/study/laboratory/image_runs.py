"""Samplers at an equal number of network calls, and how good what they draw is."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import NumericalWarning, expand_right
from invdiff.metrics import psnr, ssim
from invdiff.priors import SharedCovarianceMixture
from invdiff.rng import derive_generator
from invdiff.samplers import Samples
from invdiff.study.laboratory.image_priors import Counted, evidence, exact_samples
from invdiff.study.sampling import sampler_config
from invdiff.uncertainty import coverage, credible_interval, crps
from operators import GaussianNoise, Mask

__all__ = ["SCORES", "affordable_steps", "draw", "draw_exactly", "score"]

Arrays = dict[str, NDArray[Any]]

LEVEL = 0.9
SCORES = ("psnr", "psnr_best", "ssim", "ssim_best", "crps", "coverage_90", "spread")


class _Shrinking:
    """A denoiser that costs nothing, for images of any shape."""

    data_range = (0.0, 1.0)
    image_shape = None

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        level = expand_right(sigma, x.ndim - sigma.ndim)
        return x / (1 + level.to(x) ** 2)


def affordable_steps(kind: str, options: Mapping[str, Any], calls_per_sample: int) -> int:
    """Return the largest ``num_steps`` whose network calls a sample stay within a budget.

    Counted, not known: the calls of a method are affine in its steps.

    Raises:
        ValueError: Fewer calls than the method needs for two steps.
    """
    few, more = (_count_calls(kind, options, steps) for steps in (4, 8))
    per_step = (more - few) / 4
    steps = int((calls_per_sample - few) / per_step + 4 + 1e-9)
    if steps < 2:
        raise ValueError(f"calls_per_sample: {kind} needs more than {calls_per_sample}")
    return steps


def draw(
    kind: str,
    options: Mapping[str, Any],
    likelihood: Likelihood,
    prior: Counted,
    num_samples: int,
    seed: int,
) -> Arrays:
    """Draw samples of one batch of problems, and say what that took.

    Returns:
        values (num_samples, slices, height, width), log_weights (num_samples, slices), calls,
        seconds and num_warnings; for particles ess and kept, the power of the weights that was
        used, (steps, slices), and log_evidence (slices,), which are empty for other methods.
    """
    sampler = sampler_config(kind, **options).build()
    before, start = prior.num_calls, time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NumericalWarning)
        generator = derive_generator(seed, "samples", device=likelihood.y.device)
        samples = sampler.sample(likelihood, prior, num_samples, generator=generator)
    return {
        "values": samples.values.detach().float().cpu().numpy(),
        "log_weights": samples.log_weights.detach().double().cpu().numpy(),
        "ess": _diagnostic(samples, "ess", "effective_sample_size"),
        "kept": _diagnostic(samples, "kept"),
        "log_evidence": _diagnostic(samples, "log_evidence"),
        "calls": np.asarray(prior.num_calls - before),
        "seconds_sampling": np.asarray(time.perf_counter() - start),
        "num_warnings": np.asarray(sum(issubclass(w.category, NumericalWarning) for w in caught)),
    }


def draw_exactly(
    likelihood: Likelihood, prior: SharedCovarianceMixture, num_samples: int, seed: int
) -> Arrays:
    """Draw from the exact posterior of each problem; see ``draw``."""
    generator, start = derive_generator(seed, "exact"), time.perf_counter()
    problems = [Likelihood(likelihood.operator, likelihood.noise, y) for y in likelihood.y]
    drawn = [exact_samples(prior, problem, num_samples, generator) for problem in problems]
    values = torch.stack(drawn, 1).float().numpy()
    return {
        "values": values,
        "log_weights": np.full(values.shape[:2], -np.log(num_samples)),
        "ess": np.zeros(0),
        "kept": np.zeros(0),
        "log_evidence": np.asarray([evidence(prior, problem) for problem in problems]),
        "calls": np.asarray(0),
        "seconds_sampling": np.asarray(time.perf_counter() - start),
        "num_warnings": np.asarray(0),
    }


def score(run: Arrays, truth: Tensor) -> dict[str, float]:
    """Return ``SCORES``, averaged over the slices, for images from 0 to 1.

    The best sample is the one nearest to the truth, which only a simulation can tell. The CRPS
    and the width of the spread are in hundredths of the range.
    """
    values = torch.from_numpy(run["values"]).double()
    weights = torch.from_numpy(run["log_weights"])
    samples, truth = Samples(values, weights), truth.double()
    mean = samples.mean()
    quality = psnr(values, truth, data_range=1.0)
    best = torch.take_along_dim(values, quality.argmax(0)[None, :, None, None], 0)[0]
    lower, upper = credible_interval(samples, LEVEL)
    numbers = {
        "psnr": psnr(mean, truth, data_range=1.0),
        "psnr_best": quality.amax(0),
        "ssim": ssim(mean, truth, data_range=1.0),
        "ssim_best": ssim(best, truth, data_range=1.0),
        "crps": 100 * crps(values, truth, weights),
        "coverage_90": coverage(lower, upper, truth),
        "spread": 100 * (samples.std() ** 2).mean((-2, -1)).sqrt(),
    }
    return {name: float(value.mean()) for name, value in numbers.items()}


def _diagnostic(samples: Samples, *names: str) -> NDArray[Any]:
    values = [samples.info[name] for name in names if name in samples.info]
    if not values:
        return np.zeros(0)
    return torch.as_tensor(values[0]).detach().double().cpu().numpy()


def _count_calls(kind: str, options: Mapping[str, Any], num_steps: int) -> float:
    operator = Mask(torch.arange(16).reshape(4, 4) % 3 == 0)
    likelihood = Likelihood(operator, GaussianNoise(0.1), torch.full(operator.out_shape, 0.5))
    counter = Counted(_Shrinking(), (0.0, 1.0))
    generator = derive_generator(0, "calls")
    sampler = sampler_config(kind, **{**options, "num_steps": num_steps}).build()
    with warnings.catch_warnings():
        # this problem is no one's: only its calls count
        warnings.simplefilter("ignore", NumericalWarning)
        sampler.sample(likelihood, counter, 4, generator=generator)
    return counter.num_calls / 4
