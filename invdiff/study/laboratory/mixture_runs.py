"""Instances of the Gaussian mixture, sampled and measured; what each stage keeps."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from invdiff.rng import derive_generator, population
from invdiff.samplers import Sampler, Samples
from invdiff.samplers.resampling import ancestors, take
from invdiff.study.scripted import Arrays
from invdiff.theory import (
    MixtureProblem,
    max_sliced_wasserstein2,
    mixture_problem,
    mode_distance_growth,
)

__all__ = ["NUM_SAMPLES", "Setting"]

NUM_SAMPLES = 1000
_NUM_REFERENCE, _NUM_PROJECTIONS, _NUM_FLOORS = 10_000, 100, 4


@dataclasses.dataclass(frozen=True)
class Setting:
    """Instances of one size.

    Args:
        num_dims: Numbers in x.
        num_measured: Numbers in y.
        instances: How many.
        seed: Of the study; instance i of another seed is another problem.
        single: Whether samplers run in float32; the distances are taken in float64 all the same.
    """

    num_dims: int
    num_measured: int
    instances: int
    seed: int
    single: bool = False

    @property
    def key(self) -> str:
        """Its part of the names of metrics."""
        return f"{self.num_dims}_{self.num_measured}"

    def floors(self) -> Arrays:
        """Return the distances of exact samples, ``(instances,)``: the mean of four draws."""
        distances = [
            np.mean([self._distance(i, self._exact(i, f"floor {k}")) for k in range(_NUM_FLOORS)])
            for i in range(self.instances)
        ]
        return {"distances": np.array(distances), "cloud": self._exact(0, "cloud")[:, :2].numpy()}

    def run(self, sampler: Sampler, num_samples: int, label: str) -> Arrays:
        """Return the distances of a sampler and its lowest effective sample sizes.

        The highest noise level, where the sampler has one, grows with the distance of the modes.
        """
        sampler = _grown(sampler, self.num_dims)
        distances, sizes, cloud = [], [], torch.empty(0)
        for i in range(self.instances):
            problem, source = self._problem(i), self._generator(i, label)
            problem = problem.single() if self.single else problem
            samples = sampler.sample(
                problem.likelihood, problem.prior, num_samples, generator=source
            )
            drawn = _resampled(samples, self._generator(i, f"{label} resampling"))
            distances.append(self._distance(i, drawn))
            sizes.append(_lowest_size(samples))
            cloud = cloud if i else drawn[:, :2]
        return {
            "distances": np.array(distances),
            "effective_sample_sizes": np.array(sizes),
            "cloud": cloud.numpy(),
        }

    def _problem(self, i: int) -> MixtureProblem:
        return mixture_problem(self.num_dims, self.num_measured, 1000 * self.seed + i)

    def _exact(self, i: int, label: str, count: int = NUM_SAMPLES) -> Tensor:
        return self._problem(i).posterior.sample(count, generator=self._generator(i, label))

    def _distance(self, i: int, samples: Tensor) -> float:
        reference = self._exact(i, "reference", _NUM_REFERENCE)
        directions = self._generator(i, "directions")
        return max_sliced_wasserstein2(samples, reference, _NUM_PROJECTIONS, generator=directions)

    def _generator(self, i: int, label: str) -> torch.Generator:
        return derive_generator(self.seed, "gmm-posterior", *self.key.split("_"), i, label)


def _grown(sampler: Sampler, num_dims: int) -> Sampler:
    """Return the sampler with its highest noise level in proportion to the modes' distance."""
    if not hasattr(sampler, "sigma_max"):
        return sampler
    highest = sampler.sigma_max * mode_distance_growth(num_dims)
    grown: Sampler = dataclasses.replace(sampler, sigma_max=highest)  # type: ignore[type-var]
    return grown


def _resampled(samples: Samples, generator: torch.Generator) -> Tensor:
    """Draw as many samples as every method is measured by."""
    index = ancestors(samples.log_weights, population(generator, ()), num=NUM_SAMPLES)
    return take(samples.values, index).double()


def _lowest_size(samples: Samples) -> float:
    sizes = samples.info.get("effective_sample_size")
    return float("nan") if sizes is None else float(sizes.min())
