"""Samples of the mixture problem: how far they are from the exact laws, and how they move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import qmc
from torch import Tensor

from invdiff.interpolants import ConstantEpsilon, integrate_ode, integrate_sde, time_grid
from invdiff.rng import derive_generator
from invdiff.study.laboratory.interpolant_gmm_problem import (
    Tabulated,
    base_of,
    mixture_process,
    stratified,
    wasserstein1,
)
from invdiff.study.scripted import Arrays

__all__ = ["Runs", "SortedNoise"]

Watch = Callable[[int, Tensor, Tensor], None]


class SortedNoise:
    """Normals that fill the plane of places and noises evenly, for a cloud on the line.

    The points are taken in order of their places, so that neighbours get different noises:
    array-RQMC of :cite:t:`lecuyer2008`. The law of the cloud follows that of the chain with far
    less scatter than with independent normals; each single path keeps its law.

    Args:
        x: The cloud, ``(n, 1)``, at the start.
        generator: Of the shift of each step.
    """

    def __init__(self, x: Tensor, generator: torch.Generator) -> None:
        levels = qmc.Halton(1, scramble=False).random(len(x))[:, 0]
        self._levels, self._generator = torch.from_numpy(levels), generator
        self._x = x

    def watch(self, i: int, t: Tensor, x: Tensor) -> None:
        """Take in where the cloud is after a step."""
        self._x = x

    def __call__(self) -> Tensor:
        """Return the next normals, ``(n, 1)``."""
        shift = torch.rand((), generator=self._generator, dtype=torch.float64)
        # away from 0 and 1, where the normal is infinite
        levels = ((self._levels + shift) % 1).clamp(1e-12, 1 - 1e-12)
        normals = torch.empty_like(self._x)
        normals[self._x[:, 0].argsort(), 0] = torch.special.ndtri(levels)
        return normals


class _Distances:
    """W1 of clouds to the exact law after chosen steps.

    Args:
        wanted: Numbers of these steps.
        clouds: That are stacked, of the same size.
    """

    def __init__(self, wanted: Sequence[int], clouds: int) -> None:
        self.wanted, self._clouds = wanted, clouds
        self._found: dict[int, Tensor] = {}

    def watch(self, i: int, t: Tensor, x: Tensor) -> None:
        """Measure after a step, if it is wanted."""
        if i in self.wanted:
            law = mixture_process().marginal(t)
            self._found[i] = wasserstein1(x.reshape(self._clouds, -1), law)

    def rows(self) -> NDArray[Any]:
        """Return what was measured, ``(wanted, clouds)``."""
        return torch.stack([self._found[i] for i in self.wanted]).numpy()


@dataclass(frozen=True)
class Runs:
    """Runs of the samplers with exact fields.

    Args:
        num_samples: Of each repetition.
        repetitions: Each with new starts and noises.
        strata: Samples of the low-noise runs, a power of 2.
        seed: Of all of them.
    """

    num_samples: int
    repetitions: int
    strata: int
    seed: int

    def steps(self, epsilon: float, counts: Sequence[int], gap: float) -> Arrays:
        """Return W1 to the target for numbers of steps.

        Args:
            epsilon: 0 for Heun's method on the ODE, else Euler-Maruyama.
            counts: Numbers of steps.
            gap: The grid goes from it to 1 minus it.

        Returns:
            "random" ``(counts, repetitions)`` and "even" ``(counts, shifts)``, of low noise.
        """
        law = mixture_process().target
        random, even = [], []
        for count in counts:
            times = time_grid(count, gap, 1 - gap)
            label = (epsilon, count, gap)
            random.append(wasserstein1(self._moved(epsilon, times, *label), law).numpy())
            shifts = range(2) if epsilon else range(1)
            ends = [self._evenly(epsilon, times, *label, shift) for shift in shifts]
            even.append(wasserstein1(torch.stack(ends), law).numpy())
        return {"random": np.array(random), "even": np.array(even)}

    def marginals(self, epsilon: float, times: Sequence[float], steps: int) -> Arrays:
        """Return W1 to the exact law at times.

        Args:
            epsilon: 0 for the ODE.
            times: In (0, 1], multiples of 1/steps.
            steps: From 0 to 1.

        Returns:
            "random" ``(times, repetitions)`` and "even" ``times``, of low noise.
        """
        grid = time_grid(steps, 0, 1)
        random = _Distances([round(t * steps) - 1 for t in times], self.repetitions)
        even = _Distances(random.wanted, 1)
        self._moved(epsilon, grid, "marginals", epsilon, watch=random.watch)
        self._evenly(epsilon, grid, "marginals", epsilon, watch=even.watch)
        return {"random": random.rows(), "even": even.rows()[:, 0]}

    def floor(self, times: Sequence[float], draws: int) -> Arrays:
        """Return W1 of exact samples to their law, ``(times, draws)``."""
        process, rows = mixture_process(), []
        for time in times:
            generator = derive_generator(self.seed, "floor", str(time))
            law = process.marginal(torch.tensor(time, dtype=torch.float64))
            row = [
                float(wasserstein1(law.sample(self.num_samples, generator=generator).mT, law))
                for _ in range(draws)
            ]
            rows.append(row)
        return {"w1": np.array(rows)}

    def paths(self, epsilon: float, count: int, steps: int) -> Arrays:
        """Return "paths" ``(steps + 1, count)``, from the same starts for all epsilon."""
        start = stratified(base_of(mixture_process()), count)
        kept = [start[:, 0].numpy()]

        def watch(i: int, t: Tensor, x: Tensor) -> None:
            kept.append(x[:, 0].numpy())

        noise = self._noise(start, "paths", epsilon)
        self._integrated(epsilon, time_grid(steps, 0, 1), start, noise, watch)
        return {"paths": np.array(kept, dtype=np.float32)}

    def _moved(
        self, epsilon: float, times: Tensor, *labels: str | float, watch: Watch | None = None
    ) -> Tensor:
        """Return all repetitions, ``(repetitions, samples)``; they are independent."""
        base, count = base_of(mixture_process()), self.num_samples * self.repetitions
        x = base.sample(count, generator=derive_generator(self.seed, "start", *map(str, labels)))
        x = self._integrated(epsilon, times, x, self._noise(x, *labels), watch)
        return x.reshape(self.repetitions, -1)

    def _evenly(
        self, epsilon: float, times: Tensor, *labels: str | float, watch: Watch | None = None
    ) -> Tensor:
        x = stratified(base_of(mixture_process()), self.strata)
        noise = SortedNoise(x, derive_generator(self.seed, "shift", *map(str, labels)))

        def both(i: int, t: Tensor, x: Tensor) -> None:
            noise.watch(i, t, x)
            if watch is not None:
                watch(i, t, x)

        return self._integrated(epsilon, times, x, noise, both)[:, 0]

    def _noise(self, x: Tensor, *labels: str | float) -> Callable[[], Tensor]:
        generator = derive_generator(self.seed, "noise", *map(str, labels))
        return lambda: torch.randn(x.shape, generator=generator, dtype=x.dtype)

    def _integrated(
        self,
        epsilon: float,
        times: Tensor,
        x: Tensor,
        noise: Callable[[], Tensor],
        watch: Watch | None,
    ) -> Tensor:
        process = Tabulated(mixture_process())
        if not epsilon:
            return integrate_ode(process.velocity, x, times, callback=watch)
        amount = ConstantEpsilon(epsilon)
        return integrate_sde(process, x, times, epsilon=amount, noise=noise, callback=watch)
